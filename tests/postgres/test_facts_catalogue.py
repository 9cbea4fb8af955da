"""What the catalogue says: the same for the same schema, whoever made it, in whatever order and version; and costs."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import LiteralString

import psycopg
import pytest

from backup.domain.comparison import compare
from backup.domain.proof import POSITION, ROWS, Fact, Proof
from backup.postgres.address import Address
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.prover import ProofOptions
from backup.postgres.snapshot import hold_snapshot
from backup.stores.directory import DirectoryStore
from backup.stream.readers import READ_SIZE
from tests.fixtures.postgres import NewDatabase, Server, running
from tests.postgres.test_standby import CLIENTS, Pair
from tests.postgres.test_standby import pair as standby_pair
from tests.support.proofs import apart, contents, fill, held_against, proven_backup, real, take
from tests.support.sink import ORDINARY, load_sink

__all__ = ["standby_pair"]

_SCHEMA: tuple[LiteralString, ...] = (
    "CREATE TYPE mood AS ENUM ('sad', 'glad')",
    "CREATE TABLE b (id int PRIMARY KEY, feels mood, n numeric(5, 2) DEFAULT 1)",
    "CREATE TABLE a (id int PRIMARY KEY, note text)",
    "CREATE INDEX b_n ON b (n)",
    "CREATE INDEX a_note ON a (note) WITH (fillfactor = 70)",
    "CREATE VIEW both_ab AS SELECT a.note, b.feels FROM a JOIN b USING (id)",
    "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION one(a a) RETURNS int LANGUAGE sql AS 'SELECT a.id'",
    "CREATE SEQUENCE s",
    "GRANT SELECT ON a TO PUBLIC",
    "GRANT SELECT, INSERT ON b TO PUBLIC",
    "COMMENT ON TABLE a IS 'first'",
    "COMMENT ON COLUMN b.n IS 'second'",
    "ALTER TABLE a SET (autovacuum_enabled = false, fillfactor = 80)",
    "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p1 ON a USING (id > 1)",
    "CREATE POLICY p0 ON a USING (id > 0)",
    "CREATE STATISTICS st ON id, note FROM a",
    "INSERT INTO b VALUES (1, 'glad', 1.5), (2, 'sad', 2)",
    "INSERT INTO a VALUES (1, 'x'), (2, 'y')",
)
_OTHER_ORDER = (0, 8, 2, 1, 7, 6, 4, 3, 16, 15, 14, 17, 5, 12, 11, 10, 9, 13, 19, 18)


def test_the_same_schema_has_the_same_facts_in_whatever_order_it_was_made(
    pg18: Server, new_database: NewDatabase
) -> None:
    one, other = new_database(pg18), new_database(pg18)
    fill(pg18, one, *_SCHEMA)
    fill(pg18, other, "SELECT lo_unlink(lo_create(0)) FROM generate_series(1, 50)")  # moves the OIDs on
    fill(pg18, other, "CREATE TABLE passing (id serial); DROP TABLE passing", *(_SCHEMA[i] for i in _OTHER_ORDER))
    assert sorted(_OTHER_ORDER) == list(range(len(_SCHEMA)))
    assert [each.text for each in apart(take(pg18, one), take(pg18, other))] == []


def test_the_order_of_a_database_s_collation_changes_nothing_but_the_collation(
    system_server: Server, new_database: NewDatabase
) -> None:
    plain = new_database(system_server)
    other = new_database(system_server, options="LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0")
    mixed: tuple[LiteralString, ...] = (
        'CREATE TABLE t ("Z" int, "a" int, _b int, "B" text)',
        'CREATE VIEW v AS SELECT "Z", a, _b, "B" FROM t',
        'CREATE SCHEMA b; CREATE SCHEMA "C"; CREATE PUBLICATION p FOR TABLES IN SCHEMA b, "C"',
        "ALTER TABLE t SET (autovacuum_enabled = false, toast_tuple_target = 200, fillfactor = 50)",
        "INSERT INTO t VALUES (1, 2, 3, 'b'), (1, 2, 3, 'B')",
    )
    for name in (plain, other):
        fill(system_server, name, *mixed)
    assert {each.kind for each in apart(take(system_server, plain), take(system_server, other))} == {"database"}


def test_an_ordinary_schema_of_15_is_proven_in_18_with_everything_in_it(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    with system_server.connect(name) as connection, pg18.connect() as other:
        load_sink(connection, ORDINARY)
        load_sink(other, ())
    backup = proven_backup(system_server, name, store)
    compared = held_against(backup, store, pg18, f"{new_database(pg18)}_again")
    assert real(compared) == []
    assert compared.unproven == {}


def test_five_thousand_tables_are_proven_and_compared_within_a_minute_and_with_few_questions(
    pg18: Server,
) -> None:
    # Slow: it makes 5,000 tables.
    settings = {"max_locks_per_transaction": "256", "log_statement": "all", "logging_collector": "on"}
    with running(pg18.bin_dir, settings=settings) as server:
        with server.connect() as connection:
            connection.execute(
                """DO $$ BEGIN FOR i IN 1..5000 LOOP
                EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text, n numeric, at timestamptz)', i);
                EXECUTE format('INSERT INTO t%s SELECT n, $1, n FROM generate_series(1, 3) n', i) USING 'note ' || i;
                IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$"""
            )
        before = statements(server)
        begun = time.monotonic()
        proof = take(server, "postgres")
        asked = statements(server) - before
        found = take(server, "postgres")
        compared = compare(proof, found)
        assert time.monotonic() - begun < 60
        assert compared.text == "proven: every value of 5000 tables, 15,000 rows"
        assert compared.unproven == {}
        assert 50 < asked < 500


def statements(server: Server) -> int:
    """How many the server has logged."""
    logs = next(server.socket_folder.glob("*/log"))
    return sum(path.read_text(errors="replace").count("statement: ") for path in logs.glob("*.log"))


def test_a_standby_is_proven_but_for_its_unlogged_tables(standby_pair: Pair) -> None:
    standby_pair.write(
        "CREATE TABLE proven AS SELECT generate_series(1, 100) AS a",
        "CREATE UNLOGGED TABLE lost AS SELECT 1 AS a",
        "CREATE SEQUENCE counted",
        "SELECT nextval('counted')",
    )
    engine = PgDumpEngine(
        clients=CLIENTS, options=DumpOptions(globals="off"), environ={}, proof=ProofOptions(mode="full", seconds=30)
    )
    data = b""
    with (
        hold_snapshot(Address.parse(standby_pair.standby), "it", connect_timeout=5) as snapshot,
        closing(engine.parts(snapshot)) as parts,
    ):
        for part in parts:
            with part.open() as reader:
                data = b"".join(iter(lambda: reader.read(READ_SIZE), b""))
    proof = Proof.from_json(data, where="here")
    assert proof.unproven == {Fact(ROWS, "public.lost"): "unlogged tables are empty on a standby"}
    primary = take(standby_pair.primary, "postgres")
    assert contents(proof)["public.proven"] == contents(primary)["public.proven"]
    # A standby is told of a sequence's numbers ahead of time, and a restore of its dump has those.
    position = proof.facts[Fact(POSITION, "public.counted")]
    assert isinstance(position, tuple)
    assert position[0] == position[1] >= (1, True)
    assert {each.kind for each in apart(proof, primary)} <= {"position"}


def test_an_index_that_was_left_invalid_is_no_fact_for_no_dump_has_it(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        fill(pg18, name, "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
    fill(pg18, name, "COMMENT ON INDEX broken IS 'left behind'")
    compared = held_against(proven_backup(pg18, name, store), store, pg18, f"{name}_again")
    assert real(compared) == []
    assert compared.proves


def test_a_subscription_that_was_enabled_is_proven_though_it_comes_back_disabled(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    again = f"{name}_again"
    fill(
        pg18,
        name,
        "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere dbname=x' PUBLICATION p"
        " WITH (connect = false, slot_name = 's')",
        "ALTER SUBSCRIPTION s ENABLE",
    )
    try:
        compared = held_against(proven_backup(pg18, name, store), store, pg18, again)
        assert real(compared) == []
        assert compared.proves
    finally:
        for database in (name, again):
            with suppress(psycopg.OperationalError):
                fill(
                    pg18,
                    database,
                    "ALTER SUBSCRIPTION s DISABLE",
                    "ALTER SUBSCRIPTION s SET (slot_name = NONE)",
                    "DROP SUBSCRIPTION s",
                )
