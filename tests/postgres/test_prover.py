"""The proof of a backup under a writer, of sequences that move, of what is left out, and without its session."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from backup.domain.manifest import Manifest, Role
from backup.domain.proof import CONTENT, POSITION, ROWS, Fact, Mode
from backup.postgres.dump import DumpOptions
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command, wait_until
from tests.support.meddling import MeddlingEngine
from tests.support.pgproof import column, run
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

_SLOW: LiteralString = """CREATE TABLE slow (id bigint, late numeric GENERATED ALWAYS AS (factorial(id) % 7) VIRTUAL);
INSERT INTO slow (id) SELECT 32000 FROM generate_series(1, 5000)"""
"""A virtual column that takes the server minutes to work out; pg_dump does not ask for it."""

_BUSY: LiteralString = """CREATE TABLE orders (id serial PRIMARY KEY, note text, n int DEFAULT 0);
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE bulk AS SELECT n AS id, repeat(md5(n::text), 20) AS pad FROM generate_series(1, 60000) n;
INSERT INTO orders (note) SELECT 'order ' || n FROM generate_series(1, 2000) n"""

_WORK = (
    "INSERT INTO orders (note) VALUES (md5(random()::text))",
    "INSERT INTO events DEFAULT VALUES",
    "UPDATE orders SET n = n + 1, note = note || 'x' WHERE id = 1 + floor(random() * 2000)::int",
    "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders WHERE id > 1 + floor(random() * 3000)::int)",
    "UPDATE bulk SET pad = md5(pad) WHERE id = 1 + floor(random() * 60000)::int",
)


@contextmanager
def writing(server: Server, database: str) -> Iterator[Callable[[], int]]:
    """Two threads that commit as fast as they can; the number of commits so far."""
    stop, done = threading.Event(), [0, 0]

    def write(me: int) -> None:
        with server.connect(database) as connection:
            while not stop.is_set():
                for statement in _WORK:
                    connection.execute(statement.encode())
                    done[me] += 1

    threads = [threading.Thread(target=write, args=(me,), daemon=True) for me in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(done)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def sessions(server: Server, database: str) -> list[str]:
    """What sessions of ours do in the database."""
    with server.connect() as connection:
        found = connection.execute(
            "SELECT query FROM pg_stat_activity WHERE application_name IN ('pgproof', 'pg_dump') AND datname = %s",
            [database],
        )
        return [query for (query,) in found]


def is_fingerprinting(server: Server, database: str) -> bool:
    return any("hashtextextended(ROW(" in query for query in sessions(server, database))


def test_under_a_writer_every_restore_agrees_with_the_proof(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, _BUSY)
    backups: list[Manifest] = []
    with writing(pg18, name) as commits:
        for _ in range(4):
            before = commits()
            backups.append(proven_backup(pg18, name, store))
            assert commits() - before > 100
    for number, backup in enumerate(backups):
        compared = held_against(backup, store, pg18, f"{name}_{number}")
        assert real(compared) == []
        assert compared.unproven == {}
        assert compared.tables == 3
    assert len({str(contents(proof_of(each, store))) for each in backups}) == 4


def test_of_sequences_that_move_the_restored_one_lies_between_and_what_cannot_be_told_is_unproven(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        _BUSY,
        "CREATE SEQUENCE unused; CREATE SEQUENCE rising; CREATE SEQUENCE first_used; CREATE SEQUENCE falling"
        " INCREMENT -3; CREATE SEQUENCE deep INCREMENT -1; CREATE SEQUENCE round MAXVALUE 5 CYCLE;"
        " CREATE SEQUENCE back; CREATE SEQUENCE doomed; CREATE SEQUENCE quiet START 70",
        "SELECT nextval('rising'), nextval('round'), nextval('quiet'), setval('back', 1000), nextval('deep')",
    )

    def move() -> None:
        fill(
            pg18,
            name,
            "SELECT nextval('rising'), nextval('first_used'), nextval('falling'), nextval('deep'), nextval('round')"
            " FROM generate_series(1, 9)",
            "SELECT setval('back', 10)",
        )

    def drop() -> None:
        move()
        fill(pg18, name, "DROP SEQUENCE doomed")

    engine = MeddlingEngine(engine=proving_engine(pg18), begun=move, ended=drop)
    backup = proven_backup(pg18, name, store, engine)
    proof = proof_of(backup, store)
    assert unproven_by(proof, POSITION) == {
        "public.round": "it goes round, and numbers were taken meanwhile",
        "public.back": "it was set back meanwhile",
        "public.doomed": "it was dropped or renamed meanwhile",
    }
    assert proof.facts[Fact(POSITION, "public.rising")] == ((1, True), (19, True))
    assert proof.facts[Fact(POSITION, "public.first_used")] == ((1, False), (18, True))
    assert proof.facts[Fact(POSITION, "public.falling")] == ((-52, False), (-1, True))
    assert proof.facts[Fact(POSITION, "public.unused")] == ((1, False), (1, False))
    assert proof.facts[Fact(POSITION, "public.quiet")] == ((70, True), (70, True))
    assert real(held_against(backup, store, pg18, f"{name}_again")) == []


def test_what_is_left_out_is_unproven_by_name_and_the_restore_agrees(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE kept (id serial); CREATE TABLE audit (id serial, t text); CREATE SCHEMA gone;"
        " CREATE TABLE gone.t (id serial); CREATE TABLE absent (id serial); CREATE SCHEMA elsewhere;"
        " CREATE TABLE elsewhere.absent (id serial)",
        "INSERT INTO kept SELECT; INSERT INTO audit (t) VALUES ('a'), ('b'); INSERT INTO gone.t SELECT;"
        " INSERT INTO absent SELECT; INSERT INTO elsewhere.absent SELECT",
        "CREATE MATERIALIZED VIEW audit_sum AS SELECT count(*) FROM audit",
    )
    options = DumpOptions(
        globals="off", exclude_schemas=("gone",), exclude_tables=("absent",), exclude_table_data=("audit*",)
    )
    backup = proven_backup(pg18, name, store, proving_engine(pg18, options))
    proof = proof_of(backup, store)
    why = "a setting leaves it out"
    rows = "a setting leaves its rows out"
    assert unproven_by(proof, ROWS) == {"gone.t": why, "public.absent": why, "public.audit": rows}
    assert unproven_by(proof, POSITION) == {"gone.t_id_seq": why, "public.audit_id_seq": rows}
    assert set(contents(proof)) == {"public.kept", "elsewhere.absent"}
    compared = held_against(backup, store, pg18, f"{name}_again")
    assert real(compared) == []
    assert column(pg18, f"{name}_again", "SELECT count(*) FROM audit") == [0]


def test_when_its_session_is_ended_the_backup_is_complete_and_says_that_there_is_no_proof(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, _SLOW)

    def kill() -> None:
        wait_until(lambda: is_fingerprinting(pg18, name))
        with pg18.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE %s",
                [name, "%hashtextextended(ROW(%"],
            )

    backup = proven_backup(pg18, name, store, MeddlingEngine(engine=proving_engine(pg18), ended=kill))
    assert backup.status.value == "complete"
    assert backup.proof is None
    assert backup.parts_of(Role.PROOF) == ()
    (warning,) = backup.warnings
    assert warning.startswith("no proof: the snapshot could not be looked at: the line to ")


@pytest.fixture
def pgproof(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Command:
    """The command, for a database that takes hours to prove."""
    name = new_database(pg18)
    fill(pg18, name, _SLOW, "DO $$ BEGIN FOR i IN 1..40 LOOP EXECUTE format('CREATE TABLE slow_%s (LIKE slow"
        " INCLUDING GENERATED)', i); EXECUTE format('INSERT INTO slow_%s (id) SELECT 32000 FROM slow', i);"
        " END LOOP; END $$")  # fmt: skip
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PGPROOF_DATABASE_URL": pg18.url(name),
        "PGPROOF_PG_BIN": str(pg18.bin_dir),
        "PGPROOF_STORE": str(tmp_path / "store"),
    }
    return Command(home=home, environ=environ)


def database_of(command: Command) -> str:
    return command.environ["PGPROOF_DATABASE_URL"].rpartition("/")[2]


def test_an_interrupt_during_a_long_proof_ends_it_in_seconds_and_leaves_no_session(
    pg18: Server, pgproof: Command
) -> None:
    name = database_of(pgproof)
    with pgproof.start("backup", "--json") as running:
        running.wait_for(lambda: is_fingerprinting(pg18, name) and not running.processes("pg_dump"))
        running.signal(signal.SIGINT)
        ended = running.finish(limit=15)
    assert ended.code == 130, ended
    assert ended.left == ()
    wait_until(lambda: not sessions(pg18, name), limit=5)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("mode", "made"), [("off", None), ("rows", "rows"), ("full", "full")])
def test_the_setting_says_how_much_is_proven(pg18: Server, pgproof: Command, mode: str, made: Mode | None) -> None:
    name = database_of(pgproof)
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(pg18.url(name), autocommit=True))
        for (table,) in connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'slow%'").fetchall():
            connection.execute(f"TRUNCATE {table}".encode())
    run(pg18, name, "CREATE TABLE small AS SELECT 1 AS a")
    ended = pgproof("backup", "--json", PGPROOF_PROOF=mode, PGPROOF_TARGET="it")
    assert ended.code == 0, ended
    store = DirectoryStore(Path(pgproof.environ["PGPROOF_STORE"]))
    (key,) = (each.key for each in store.list("it/") if each.key.endswith("manifest.json"))
    backup = Manifest.from_json((Path(pgproof.environ["PGPROOF_STORE"]) / key).read_bytes(), where=key)
    assert (backup.proof and backup.proof.mode) == made
    assert len(backup.parts_of(Role.PROOF)) == (made is not None)
    if made:
        kinds = {fact.kind for fact in proof_of(backup, store).facts}
        assert ROWS in kinds
        assert (CONTENT in kinds) is (made == "full")
        assert proof_of(backup, store).facts[Fact(ROWS, "public.small")] == 1
        assert take(pg18, name, mode=made).facts[Fact(ROWS, "public.small")] == 1
