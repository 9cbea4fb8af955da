"""What others do to tables while a backup begins and ends: the proof says less then, and never what is wrong."""

from __future__ import annotations

import threading
from typing import LiteralString

import pytest

from backup.domain.proof import CONTENT, ROWS, Fact
from backup.errors import DumpFailed
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import wait_until
from tests.support.meddling import MeddlingEngine
from tests.support.pgproof import rows
from tests.support.proofs import (
    contents,
    fill,
    held_against,
    proof_of,
    proven_backup,
    proving_engine,
    real,
    take,
    unproven_by,
)

_TABLES: LiteralString = """CREATE TABLE calm AS SELECT 1 AS a; CREATE TABLE spare AS SELECT 0 AS id, 'spare' AS pad;
CREATE TABLE t AS SELECT n AS id, repeat(md5(n::text), 30) AS pad FROM generate_series(1, 5000) n;
CREATE TABLE filler AS SELECT * FROM t"""
"""More than a pipe holds: a pg_dump that is not read keeps its locks."""


@pytest.fixture
def name(pg18: Server, new_database: NewDatabase) -> str:
    found = new_database(pg18)
    fill(pg18, found, _TABLES)
    return found


class Others:
    """Statements of another session, that wait for a lock as long as it takes."""

    def __init__(self, server: Server, database: str, statement: LiteralString) -> None:
        self._server, self._database, self._statement = server, database, statement
        self._thread = threading.Thread(target=fill, args=(server, database, statement), daemon=True)

    def queue(self) -> None:
        """Let it wait behind pg_dump's lock."""
        wait_until(lambda: self._locks("pg_dump", granted=True))
        self.start()

    def start(self) -> None:
        """Let it wait for whatever lock it needs."""
        self._thread.start()
        wait_until(self.is_waiting)

    def is_waiting(self) -> bool:
        return self._locks("others", granted=False) or not self._thread.is_alive()

    def end(self) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def _locks(self, program: str, *, granted: bool) -> bool:
        names = "= 'pg_dump'" if program == "pg_dump" else "NOT IN ('pg_dump', 'pgproof')"
        with self._server.connect(self._database) as connection:
            found = connection.execute(
                f"SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
                f" WHERE l.relation = to_regclass('t') AND granted = {granted} AND application_name {names})".encode()
            ).fetchone()
        return found == (True,)


QUEUED: list[tuple[LiteralString, str]] = [
    ("TRUNCATE t", "truncated or rewritten"),
    ("ALTER TABLE t ALTER COLUMN id TYPE bigint", "truncated or rewritten"),
    ("ALTER TABLE t ADD COLUMN more int DEFAULT 5", "columns were changed"),
    ("ALTER TABLE t DROP COLUMN pad", "columns were changed"),
    ("ALTER TABLE t RENAME COLUMN pad TO padding", "columns were changed"),
    ("ALTER TABLE t ALTER COLUMN id TYPE oid", "columns were changed"),
    ("ALTER TABLE t RENAME TO t_old; ALTER TABLE spare RENAME TO t", "dropped, renamed or replaced"),
    ("DROP TABLE t; CREATE TABLE t (id int, pad text)", "dropped, renamed or replaced"),
    ("DROP TABLE t", "dropped, renamed or replaced|does not exist"),
]


@pytest.mark.parametrize(("statement", "reason"), QUEUED)
def test_what_waited_behind_pg_dump_and_came_before_us_leaves_the_table_unproven_and_the_restore_agrees(
    pg18: Server, name: str, store: DirectoryStore, statement: LiteralString, reason: str
) -> None:
    others = Others(pg18, name, f"BEGIN; {statement}; COMMIT")
    expected = contents(take(pg18, name))
    backup = proven_backup(
        pg18, name, store, MeddlingEngine(engine=proving_engine(pg18), begun=others.queue, ended=others.end)
    )
    proof = proof_of(backup, store)
    (said,) = (
        why for kind in (ROWS, CONTENT) for table, why in unproven_by(proof, kind).items() if table == "public.t"
    )
    assert any(words in said for words in reason.split("|")), said
    kept = {"public.calm", "public.filler"}
    assert {table: mark for table, mark in contents(proof).items() if table in kept} == {
        table: mark for table, mark in expected.items() if table in kept
    }
    assert real(held_against(backup, store, pg18, f"{name}_again")) == []
    assert rows(pg18, f"{name}_again", "SELECT count(*), min(pad) <> 'spare' FROM t") == [(5000, True)]


def test_a_table_that_somebody_waits_for_as_long_as_the_dump_takes_is_unproven_and_nobody_hangs(
    pg18: Server, name: str, store: DirectoryStore
) -> None:
    others, most = Others(pg18, name, "TRUNCATE t"), [0]

    def has_come_and_gone() -> bool:
        """Whether the proof's session was there, beside that of the snapshot, and is no more."""
        now = len(
            rows(
                pg18,
                name,
                "SELECT FROM pg_stat_activity WHERE (application_name, datname) = ('pgproof', current_database())",
            )
        )
        most[0] = max(most[0], now)
        return now < 2 <= most[0]

    def hold() -> None:
        """Let pg_dump keep its locks until the proof is done."""
        wait_until(has_come_and_gone)
        assert others.is_waiting()

    engine = MeddlingEngine(engine=proving_engine(pg18), begun=others.queue, locked=hold, ended=others.end)
    backup = proven_backup(pg18, name, store, engine)
    proof = proof_of(backup, store)
    assert unproven_by(proof) == {"public.t": "another session wants to change it"}
    assert {"public.calm", "public.filler"} <= contents(proof).keys()
    assert real(held_against(backup, store, pg18, f"{name}_again")) == []


def test_whoever_truncates_after_pg_dump_has_ended_waits_for_the_proof_which_is_right(
    pg18: Server, name: str, store: DirectoryStore
) -> None:
    fill(
        pg18,
        name,
        "CREATE TABLE slow (id bigint, late numeric GENERATED ALWAYS AS (factorial(id) % 7) VIRTUAL, pad text)",
        "INSERT INTO slow (id, pad) SELECT 8000, 'x' FROM generate_series(1, 30)",
        "CREATE TABLE last AS SELECT n AS id, repeat(md5(n::text), 60) AS pad FROM generate_series(1, 5000) n",
    )
    expected = contents(take(pg18, name))
    others = Others(pg18, name, "TRUNCATE t, last")

    def truncate() -> None:
        is_read = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%FROM ONLY%'"
        wait_until(lambda: len(rows(pg18, name, is_read)) > 1)  # that, and our own question
        others.start()
        assert others.is_waiting()

    backup = proven_backup(pg18, name, store, MeddlingEngine(engine=proving_engine(pg18), ended=truncate))
    others.end()
    proof = proof_of(backup, store)
    assert proof.unproven == {}
    assert contents(proof) == expected
    assert rows(pg18, name, "SELECT count(*) FROM t") == [(0,)]
    assert real(held_against(backup, store, pg18, f"{name}_again")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE t; CREATE TABLE t (id int, pad text)",
        "ALTER TABLE t RENAME TO t_old; ALTER TABLE spare RENAME TO t; ALTER TABLE t_old RENAME TO spare",
    ],
)
def test_a_table_that_is_replaced_before_pg_dump_locks_it_fails_the_run_for_its_rows_would_not_be_there(
    pg18: Server, name: str, store: DirectoryStore, statement: LiteralString
) -> None:
    engine = MeddlingEngine(
        engine=proving_engine(pg18), snapshot_taken=lambda: fill(pg18, name, f"BEGIN; {statement}; COMMIT")
    )
    with pytest.raises(DumpFailed, match=r"public\.t: truncated, rewritten or replaced") as caught:
        proven_backup(pg18, name, store, engine)
    assert caught.value.retryable
    assert [each.key for each in store.list("") if not each.key.endswith("/failed.json")] == []


def test_a_function_that_is_replaced_after_the_snapshot_is_unproven_and_disproves_nothing(
    pg18: Server, name: str, store: DirectoryStore
) -> None:
    fill(
        pg18,
        name,
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION gone() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1'; COMMENT ON FUNCTION gone() IS 'soon'; CREATE VIEW v AS SELECT 1 AS a",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER tr BEFORE INSERT ON calm EXECUTE FUNCTION noted()",
    )

    def deploy() -> None:
        fill(
            pg18,
            name,
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'; DROP FUNCTION gone();"
            " CREATE OR REPLACE TRIGGER tr AFTER INSERT ON calm EXECUTE FUNCTION noted();"
            " CREATE OR REPLACE VIEW v AS SELECT 2 AS a; CREATE INDEX late ON calm (a); CREATE TABLE fresh ()",
        )

    backup = proven_backup(pg18, name, store, MeddlingEngine(engine=proving_engine(pg18), locked=deploy))
    proof = proof_of(backup, store)
    unproven = {fact.kind for fact in proof.unproven if not fact.name}
    assert {"routine", "trigger"} <= unproven
    assert not {"relation", "column", "constraint"} & unproven
    assert proof.facts[Fact(ROWS, "public.calm")] == 1
    assert real(held_against(backup, store, pg18, f"{name}_again")) == []
