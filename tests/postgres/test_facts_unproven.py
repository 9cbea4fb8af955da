"""What cannot be found out is unproven by its name and with a reason, and nothing else suffers."""

from __future__ import annotations

from backup.domain.comparison import compare
from backup.domain.proof import CONTENT, LARGE_OBJECT, LARGE_OBJECTS, POSITION, ROWS, Fact
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, NewRole, Server, running
from tests.support.pgproof import run
from tests.support.proofs import (
    contents,
    fill,
    held_against,
    proof_of,
    proven_backup,
    proving_engine,
    reading,
    real,
    take,
    unproven_by,
)

_FAULTY = """CREATE TABLE good (id int); INSERT INTO good VALUES (1), (2);
CREATE TABLE faulty (id int, part int GENERATED ALWAYS AS (100 / id) VIRTUAL);
INSERT INTO faulty (id) VALUES (1), (0)"""
"""A virtual column is worked out when it is read: the server itself refuses the row."""

_SLEEPY = """CREATE TABLE sleepy (id bigint, slow numeric GENERATED ALWAYS AS (factorial(id) % 7) VIRTUAL, pad text);
INSERT INTO sleepy (id, pad) SELECT 30000 + n, repeat('x', 1000) FROM generate_series(1, 2000) n"""
"""Quick to count and slow to fingerprint, for the same reason."""


def test_a_table_whose_values_the_server_cannot_write_is_counted_and_the_others_are_proven(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, _FAULTY)
    backup = proven_backup(pg18, name, store)
    proof = proof_of(backup, store)
    assert unproven_by(proof, CONTENT) == {"public.faulty": "division by zero"}
    assert proof.facts[Fact(ROWS, "public.faulty")] == 2
    assert set(contents(proof)) == {"public.good"}
    assert backup.status.value == "complete"
    assert backup.proof is not None
    assert (backup.proof.fingerprinted, backup.proof.counted, backup.proof.unproven) == (1, 1, 1)
    compared = held_against(backup, store, pg18, f"{name}_again")
    assert real(compared) == []
    assert compared.unproven == {Fact(CONTENT, "public.faulty"): "division by zero"}


def test_a_large_table_that_the_server_cannot_write_is_counted_too(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    run(pg18, name, _FAULTY)
    fill(pg18, name, "INSERT INTO faulty (id) SELECT n FROM generate_series(100, 60000) n")
    proof = take(pg18, name)
    assert unproven_by(proof, CONTENT) == {"public.faulty": "division by zero"}
    assert proof.facts[Fact(ROWS, "public.faulty")] == 59_903


def test_a_table_that_the_role_may_not_read_is_unproven_by_name(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    name, role = new_database(pg18), new_role(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE open AS SELECT 1 AS a; CREATE TABLE shut AS SELECT 2 AS a; CREATE SCHEMA walled;"
        " CREATE TABLE walled.t AS SELECT 3 AS a; GRANT SELECT ON open TO PUBLIC; GRANT SELECT ON walled.t TO PUBLIC;"
        " CREATE SEQUENCE mine; CREATE SEQUENCE theirs; GRANT SELECT ON mine TO PUBLIC",
    )
    proof = take(pg18, name, role=role)
    assert unproven_by(proof) == {
        "public.shut": "permission denied for table shut",
        "walled.t": "permission denied for schema walled",
    }
    assert unproven_by(proof, POSITION) == {"public.theirs": "permission denied for sequence theirs"}
    assert set(contents(proof)) == {"public.open"}
    assert Fact(POSITION, "public.mine") in proof.facts
    compared = compare(take(pg18, name), proof)
    assert not compared.differs
    assert not compared.proves  # what is known and cannot be read again is no proof
    assert compare(proof, take(pg18, name)).proves


def test_a_table_whose_rows_a_policy_may_hide_is_unproven_and_never_half_counted(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    name, role = new_database(pg18), new_role(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE guarded AS SELECT generate_series(1, 10) AS a; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY few ON guarded USING (a < 5); CREATE TABLE free AS SELECT 1 AS a;"
        " GRANT SELECT ON guarded, free TO PUBLIC",
    )
    proof = take(pg18, name, role=role)
    reason = 'query would be affected by row-level security policy for table "guarded"'
    assert unproven_by(proof, ROWS) == {"public.guarded": reason}
    assert set(contents(proof)) == {"public.free"}
    assert take(pg18, name).facts[Fact(ROWS, "public.guarded")] == 10


def test_what_does_not_fit_into_the_time_is_named_and_the_backup_is_complete(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name, _SLEEPY, "CREATE TABLE quick AS SELECT 1 AS a")
    backup = proven_backup(pg18, name, store, proving_engine(pg18, seconds=4))
    proof = proof_of(backup, store)
    assert unproven_by(proof, CONTENT) == {"public.sleepy": "there was not enough time"}
    assert unproven_by(proof, ROWS) == {}
    assert proof.facts[Fact(ROWS, "public.sleepy")] == 2000
    assert set(contents(proof)) == {"public.quick"}
    assert proof.seconds < 15
    assert backup.status.value == "complete"


def test_one_slow_table_among_small_ones_leaves_time_to_count_them_all(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        _SLEEPY,
        "DELETE FROM sleepy WHERE id > 30500",
        "VACUUM FULL sleepy",
        """DO $$ BEGIN FOR i IN 1..50 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT 1 AS a', i); END LOOP; END $$""",
    )
    proof = take(pg18, name, seconds=4)
    counted = {fact.name for fact in proof.facts if fact.kind == ROWS}
    assert len(counted) == 51
    assert "public.sleepy" in unproven_by(proof, CONTENT)
    assert proof.seconds < 15


def test_without_any_time_every_table_is_unproven_by_name(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    fill(pg18, name, "CREATE TABLE a AS SELECT 1 AS x; CREATE TABLE b AS SELECT 1 AS x")
    with reading(pg18, name, seconds=0.000001) as reader:
        reader.read_tables(reader.tables())
    unproven = reader.findings.unproven
    assert {fact.name for fact in unproven if fact.kind == ROWS} == {"public.a", "public.b"}
    assert all("no time left" in reason for reason in unproven.values())
    assert reader.findings.facts == {}


def test_large_objects_are_each_known_up_to_a_number_and_beyond_it_all_together(
    pg18: Server, new_database: NewDatabase
) -> None:
    name = new_database(pg18)
    fill(pg18, name, "SELECT lo_from_bytea(1000 + n, int4send(n)) FROM generate_series(1, 30) n")
    with reading(pg18, name, most_objects=30) as reader:
        reader.read_large_objects()
    each = reader.findings.facts
    assert len([fact for fact in each if fact.kind == LARGE_OBJECT]) == 30
    assert str(each[Fact(LARGE_OBJECT, "1001")]).startswith("4 bytes, md5 ")
    with reading(pg18, name, most_objects=29) as reader:
        reader.read_large_objects()
    assert reader.findings.facts == {Fact(LARGE_OBJECTS, ""): each[Fact(LARGE_OBJECTS, "")]}
    fill(pg18, name, "SELECT lo_put(1007, 3, '\\x00')")
    with reading(pg18, name, most_objects=29) as reader:
        reader.read_large_objects()
    (altered,) = reader.findings.facts.values()
    assert str(altered).startswith("30 objects, 120 bytes, ")
    assert altered != each[Fact(LARGE_OBJECTS, "")]


def test_large_objects_that_the_role_may_not_read_are_unproven_and_not_missing(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    name, role = new_database(pg18), new_role(pg18)
    fill(pg18, name, "SELECT lo_from_bytea(1001, 'abc'), lo_from_bytea(1002, 'def')")
    proof = take(pg18, name, role=role)
    assert unproven_by(proof, LARGE_OBJECTS) == {"": "permission denied for large object 1001"}
    assert compare(take(pg18, name), proof).proves


def test_a_proof_takes_no_more_locks_than_there_are_tables_though_these_have_many_indexes(
    pg18: Server, store: DirectoryStore
) -> None:
    # The planner locks each index of what it reads; all of them together are more than this server has room for.
    settings = {"max_locks_per_transaction": "10", "max_connections": "20"}
    with running(pg18.bin_dir, settings=settings) as small:
        with small.connect() as connection:
            connection.execute(
                """DO $$ BEGIN FOR i IN 1..150 LOOP
                EXECUTE format('CREATE TABLE t%s (a int PRIMARY KEY, b int UNIQUE, c int UNIQUE, d int UNIQUE,
                    e int UNIQUE)', i); COMMIT; END LOOP; END $$"""
            )
        backup = proven_backup(small, "postgres", store)
        proof = proof_of(backup, store)
        assert proof.unproven == {}
        assert len(contents(proof)) == 150


def test_where_the_server_has_no_room_for_more_locks_the_rest_is_unproven_and_others_still_get_some(
    pg18: Server,
) -> None:
    settings = {"max_locks_per_transaction": "10", "max_connections": "10"}
    with running(pg18.bin_dir, settings=settings) as small:
        with small.connect() as connection:
            connection.execute(
                "DO $$ BEGIN FOR i IN 1..2500 LOOP EXECUTE format('CREATE TABLE t%s ()', i); COMMIT; END LOOP; END $$"
            )
        excuses: dict[str, str] = {}
        with reading(small, "postgres") as reader:
            locked = reader.lock(reader.tables(), excuses)
            run(
                small,
                "postgres",
                "DO $$ BEGIN FOR i IN 1..50 LOOP EXECUTE format('LOCK t%s IN ACCESS SHARE MODE', i); END LOOP; END $$",
            )
        assert 0 < len(locked) < 2500
        assert len(locked) + len(excuses) == 2500
        proof = take(small, "postgres")
        missed = unproven_by(proof)
        assert 0 < len(missed) < 2500
        assert set(missed.values()) == {"the server has no room for more locks, see max_locks_per_transaction"}
