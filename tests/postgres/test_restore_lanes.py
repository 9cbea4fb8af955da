"""Restores of dumps in lanes: at the same time, over what is there, and of some tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from backup.errors import IntegrityFailed, RestoreFailed
from backup.ports import RestoreChoice
from backup.postgres.restore_job import RestoreOptions
from backup.stores.directory import DirectoryStore
from backup.stream.readers import ByteReader, Counted
from backup.workflow.restore import plan_restore, prove, restore
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.compare import difference, facts
from tests.support.pgproof import (
    ZSTD,
    backed_up,
    clients_of,
    lanes,
    make_restorer,
    restored,
    restored_in_place,
    rows,
    run,
)
from tests.support.proofs import LONG, fill, proven_backup, proving_engine

SHOP = """
CREATE SCHEMA archive;
CREATE TABLE customers (id serial PRIMARY KEY, name text, best int);
CREATE TABLE orders (
    id int GENERATED ALWAYS AS IDENTITY, customer int REFERENCES customers, total int, note text,
    CONSTRAINT known PRIMARY KEY (id), UNIQUE (customer, id)
);
ALTER TABLE customers ADD CONSTRAINT best_known FOREIGN KEY (best) REFERENCES orders DEFERRABLE;
CREATE INDEX orders_note ON orders (note);
CREATE INDEX orders_total ON orders (total) WHERE total > 500;
ALTER TABLE orders CLUSTER ON known;
COMMENT ON INDEX orders_note IS 'by note';
COMMENT ON CONSTRAINT known ON orders IS 'each is known';
CREATE FUNCTION longer(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT max($1 + best) FROM public.customers';
CREATE TABLE archive.orders (id int, old int, EXCLUDE USING btree (id WITH =));
CREATE UNIQUE INDEX old_once ON archive.orders (old);
ALTER TABLE archive.orders ALTER COLUMN old SET NOT NULL;
ALTER TABLE archive.orders REPLICA IDENTITY USING INDEX old_once;
CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_24 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
CREATE TABLE events_24_rest PARTITION OF events_24 DEFAULT;
CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX events_at ON events (at);
COMMENT ON INDEX events_at IS 'by day';
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE seen (id int, at date, FOREIGN KEY (id, at) REFERENCES events);
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY 1;
CREATE UNIQUE INDEX ON totals (customer);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''touched''; END';
CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE PUBLICATION all_orders FOR TABLE orders, customers;
CREATE STATISTICS pair ON customer, total FROM orders;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON orders USING (true);
INSERT INTO customers (name) SELECT 'c' || i FROM generate_series(1, 1000) i;
INSERT INTO orders (customer, total, note) SELECT 1 + i % 1000, i, 'note ' || i FROM generate_series(1, 5000) i;
UPDATE customers SET best = id;
INSERT INTO archive.orders SELECT i, i FROM generate_series(1, 2000) i;
INSERT INTO events SELECT i, '2024-01-01'::date + i % 700 FROM generate_series(1, 3000) i;
INSERT INTO parent SELECT generate_series(1, 500);
INSERT INTO child SELECT i, 'more' FROM generate_series(1, 500) i;
INSERT INTO seen SELECT id, at FROM events;
CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION noted();
CREATE INDEX by_call ON events_25 (longer(id));
REFRESH MATERIALIZED VIEW totals;
SELECT lo_from_bytea(4711, 'a large object');
SELECT lo_create(4712);
COMMENT ON LARGE OBJECT 4712 IS 'hollow';
GRANT SELECT ON LARGE OBJECT 4712 TO PUBLIC;
REVOKE INSERT ON orders FROM CURRENT_USER;
GRANT SELECT ON archive.orders TO PUBLIC;
"""
"""All that may go wrong when indexes are made before others' rows are in."""

EAGER = RestoreOptions(large=-1)
"""Makes the indexes of every table, however small, as soon as it is in."""


@pytest.fixture
def shop(any_server: Server, new_database: NewDatabase) -> str:
    name = new_database(any_server)
    run(any_server, name, SHOP)
    return name


def compared(server: Server, one: str, other: str) -> list[str]:
    with server.connect(one) as left, server.connect(other) as right:
        return difference(facts(left), facts(right), ignore=("database",))


@pytest.mark.parametrize(("in_lanes", "jobs"), [(1, 2), (4, 1), (3, 2), (4, 6)])
def test_everything_comes_back_whatever_is_loaded_and_built_at_the_same_time(
    any_server: Server, shop: str, store: DirectoryStore, in_lanes: int, jobs: int
) -> None:
    backup = backed_up(any_server, shop, store, encoding=ZSTD, dump=lanes(in_lanes))
    assert len(backup.lanes) == in_lanes - 1
    restorer = make_restorer(any_server, options=EAGER)
    report = restored(backup, store, restorer, f"{shop}_again", jobs=jobs)
    assert compared(any_server, shop, f"{shop}_again") == []
    assert list(report.seconds) == ["checks", "schema", "load", "indexes", "finish"]
    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    assert rows(any_server, f"{shop}_again", invalid) == []


@pytest.fixture
def lent(any_server: Server, new_database: NewDatabase, new_role: NewRole) -> str:
    """A table with an index that calls what its owner may not call, nor anybody but the superuser; and who may read."""
    owner, reader = new_role(any_server), new_role(any_server)
    name = new_database(any_server)
    with any_server.connect(name) as connection:
        for statement in (
            "CREATE FUNCTION low(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1); END'",
            "REVOKE EXECUTE ON FUNCTION low(text) FROM PUBLIC",
            "CREATE TABLE one AS SELECT 'A' AS t",
            "CREATE INDEX ON one (low(t))",
            "ALTER TABLE one OWNER TO {owner}",
            "CREATE TABLE two AS SELECT 1 AS id",
            "GRANT SELECT ON two TO {reader}",
            "CREATE MATERIALIZED VIEW three AS SELECT * FROM two",
            "ALTER MATERIALIZED VIEW three OWNER TO {reader}",
        ):
            names = {"owner": sql.Identifier(owner.name), "reader": sql.Identifier(reader.name)}
            connection.execute(sql.SQL(statement).format(**names))
    return name


@pytest.mark.parametrize(("jobs", "head_limit"), [(1, 64 << 20), (1, 100), (2, 64 << 20)])
def test_grants_come_after_the_indexes_that_they_would_refuse_and_before_the_views_that_need_them(
    any_server: Server, lent: str, store: DirectoryStore, jobs: int, head_limit: int
) -> None:
    backup = backed_up(any_server, lent, store, dump=lanes(2))
    restorer = make_restorer(any_server, options=RestoreOptions(large=-1, head_limit=head_limit, analyze=False))
    restored(backup, store, restorer, f"{lent}_again", jobs=jobs)
    assert compared(any_server, lent, f"{lent}_again") == []


@pytest.mark.parametrize("in_lanes", [1, 2])
def test_grants_come_after_the_indexes_that_they_would_refuse_in_place(
    any_server: Server, lent: str, store: DirectoryStore, in_lanes: int
) -> None:
    with any_server.connect(lent) as connection:
        before = facts(connection)
    backup = backed_up(any_server, lent, store, dump=lanes(in_lanes))
    run(any_server, lent, "DROP INDEX one_low_idx; REVOKE ALL ON two FROM PUBLIC; DELETE FROM two")
    restored_in_place(backup, store, make_restorer(any_server, lent, options=RestoreOptions(analyze=False)))
    with any_server.connect(lent) as connection:
        assert difference(before, facts(connection)) == []


def test_lanes_replace_what_is_there_in_one_transaction(any_server: Server, shop: str, store: DirectoryStore) -> None:
    run(any_server, shop, "DROP EVENT TRIGGER noting")
    with any_server.connect(shop) as connection:
        before = facts(connection)
    backup = backed_up(any_server, shop, store, encoding=ZSTD, dump=lanes(4))
    run(
        any_server,
        shop,
        "DROP TRIGGER touched ON orders; DELETE FROM seen; DELETE FROM events; DROP INDEX orders_note;"
        " ALTER TABLE orders ADD COLUMN newer int; SELECT lo_unlink(4711); SELECT lo_from_bytea(4711, 'changed')",
    )
    restored_in_place(backup, store, make_restorer(any_server, shop))
    with any_server.connect(shop) as connection:
        assert difference(before, facts(connection)) == []


def test_what_fails_in_the_last_step_in_place_changes_nothing(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(any_server)
    run(
        any_server,
        name,
        "CREATE TABLE one AS SELECT generate_series(1, 10) AS id; CREATE TABLE two AS SELECT 1 AS id;"
        " CREATE FUNCTION good(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        " CREATE INDEX ON two (good(id));"
        " CREATE OR REPLACE FUNCTION good(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / ($1 - 1)'",
    )
    backup = backed_up(any_server, name, store, dump=lanes(2))
    run(any_server, name, "INSERT INTO one VALUES (11); INSERT INTO two VALUES (2)")
    with pytest.raises(RestoreFailed, match="psql stopped: division by zero") as told:
        restored_in_place(backup, store, make_restorer(any_server, name))
    assert "STATEMENT:  CREATE INDEX two_good_idx" in (told.value.detail or "")
    assert rows(any_server, name, "SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)") == [(11, 2)]


def test_lanes_in_place_know_names_in_the_encoding_of_the_database(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(any_server, options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    run(any_server, name, 'CREATE TABLE "größe" (id int PRIMARY KEY); CREATE TABLE two AS SELECT 1 AS "ä"')
    run(any_server, name, """INSERT INTO "größe" VALUES (1), (2); CREATE INDEX "ü" ON two ("ä")""")
    backup = backed_up(any_server, name, store, dump=lanes(2))
    assert len(backup.lanes) == 1
    run(any_server, name, 'DELETE FROM "größe"; DROP INDEX "ü"')
    restored_in_place(backup, store, make_restorer(any_server, name))
    assert rows(any_server, name, 'SELECT count(*) FROM "größe"') == [(2,)]
    assert rows(any_server, name, "SELECT count(*) FROM pg_indexes WHERE indexname = 'ü'") == [(1,)]


def test_rows_that_look_like_the_end_of_a_script_are_rows(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(any_server)
    run(
        any_server,
        name,
        r"CREATE TABLE one (t text); CREATE TABLE two (t text);"
        r" INSERT INTO one VALUES (E'\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n');"
        r" INSERT INTO one VALUES (E'\\.'), (E'\n\\.\n');"
        r" INSERT INTO two VALUES (E'\nBEGIN;\n'), (E'\\! touch x')",
    )
    before = {table: rows(any_server, name, f"SELECT t FROM {table} ORDER BY 1") for table in ("one", "two")}
    backup = backed_up(any_server, name, store, dump=lanes(2))
    run(any_server, name, "DELETE FROM one; DELETE FROM two")
    restored_in_place(backup, store, make_restorer(any_server, name))
    after = {table: rows(any_server, name, f"SELECT t FROM {table} ORDER BY 1") for table in ("one", "two")}
    assert after == before


class CountingStore(DirectoryStore):
    """A folder that knows how many bytes were read of each object."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: dict[str, int] = {}

    @contextmanager
    def open(self, key: str) -> Iterator[ByteReader]:
        name = key.rpartition("/")[2]

        def count(size: int) -> None:
            self.read[name] = self.read.get(name, 0) + size

        with super().open(key) as reader:
            yield Counted(reader, count)


def test_a_table_is_fetched_with_the_lane_that_has_it_and_of_others_their_first_bytes(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    for table in ("small", "one", "two", "three"):
        count = 100 if table == "small" else 150_000
        fill(
            pg18,
            name,
            f"CREATE TABLE {table} AS SELECT i AS id, repeat(md5(i::text), 2) AS t FROM generate_series(1, {count}) i",
        )
    backup = backed_up(pg18, name, store, dump=lanes(3))
    assert {part.name for part in backup.parts} == {"dump.pgc", "dump.1.pgc", "dump.2.pgc"}
    sizes = {part.volumes[0].name: part.stored_bytes for part in backup.parts}
    read = {}
    for table in ("small", "one", "two", "three"):
        counting = CountingStore(Path(store.url))
        restored(backup, counting, make_restorer(pg18), f"{name}_{table}", tables=(table,), jobs=2)
        assert rows(pg18, f"{name}_{table}", f"SELECT count(*) > 0 FROM {table}") == [(True,)]
        read[table] = {each for each in sizes if counting.read.get(each, 0) >= sizes[each]}
        assert sum(counting.read.values()) < sum(sizes[each] for each in read[table]) + (8 << 20)
    assert all(len(lanes_read) <= 2 for lanes_read in read.values())
    assert any("dump.1.pgc.000" in lanes_read for lanes_read in read.values())
    assert "dump.1.pgc.000" not in read["small"]
    assert "dump.2.pgc.000" not in read["small"]


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_lane_that_cannot_be_read_keeps_no_table_of_another_one_from_coming_back(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, *, is_cut: bool
) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{number} AS SELECT {number} AS id" for number in range(3)))
    fill(
        pg18,
        name,
        "CREATE TABLE split (id int) PARTITION BY LIST (id)",
        "ALTER TABLE split ATTACH PARTITION t1 DEFAULT",
    )
    backup = backed_up(pg18, name, store, dump=lanes(3))
    volume = Path(store.url) / backup.target / backup.id / "dump.2.pgc.000"
    volume.write_bytes(volume.read_bytes()[:100]) if is_cut else volume.unlink()
    restorer = make_restorer(pg18)
    for table, number in (("t0", 0), ("split", 1)):
        again = f"{name}_{table}"
        report = restored(backup, store, restorer, again, tables=(table,), jobs=2)
        assert rows(pg18, again, f"SELECT id FROM {table}") == [(number,)]
        assert [note for note in report.notes if "lane 2 of the dump cannot be read" in note and volume.name in note]
    for tables in (("t2",), ("t0", "t2"), ()):
        with pytest.raises(IntegrityFailed, match=volume.name):
            restored(backup, store, restorer, f"{name}_not", tables=tables, jobs=2)


def test_a_plan_says_the_lanes(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    fill(pg18, name, *(f"CREATE TABLE t{number} AS SELECT 1 AS id" for number in range(4)))
    backup = backed_up(pg18, name, store, dump=lanes(4))
    choice = RestoreChoice(into=f"{name}_again", jobs=2)
    plan = plan_restore(backup, store, make_restorer(pg18), choice)
    assert "streamed from the store in 4 of 4 lanes, 2 at a time" in plan.steps[1]
    assert "2 connections" in plan.steps[2]
    only = plan_restore(backup, store, make_restorer(pg18), RestoreChoice(into=f"{name}_again", tables=("t3",)))
    assert " of 4 lanes, " in only.steps[1]
    assert "in 4 of 4" not in only.steps[1]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_proof_in_lanes_is_borne_out_and_partly_on_the_way(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, jobs: int
) -> None:
    name = new_database(pg18)
    run(pg18, name, SHOP)
    for table in ("wide", "long"):
        fill(
            pg18,
            name,
            f"CREATE TABLE {table} AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 60000) AS i",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX ON {table} (note)",
        )
    backup = proven_backup(pg18, name, store, proving_engine(pg18, lanes(3)))
    restorer = make_restorer(pg18, options=EAGER)
    report = restore(backup, store, restorer, RestoreChoice(into=f"{name}_again", jobs=jobs, look="full"))
    assert {fact.name for fact in report.early} <= {"public.wide", "public.long"}
    found = prove(backup, store, restorer, report, within=LONG)
    assert found is not None
    assert found.proves, found.text


def test_newer_programs_load_lanes_into_an_older_server(
    pg18: Server, system_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    run(system_server, name, SHOP)
    clients = clients_of(pg18)
    backup = backed_up(system_server, name, store, clients=clients, dump=lanes(3))
    restored(backup, store, make_restorer(system_server, clients=clients, options=EAGER), f"{name}_again", jobs=3)
    assert compared(system_server, name, f"{name}_again") == []


@pytest.mark.parametrize("head_limit", [100, 64 << 20])
def test_a_table_of_contents_that_cannot_be_kept_is_read_from_the_stream(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, head_limit: int
) -> None:
    name = new_database(pg18)
    run(pg18, name, SHOP)
    backup = backed_up(pg18, name, store, dump=lanes(3))
    options = RestoreOptions(large=-1, head_limit=head_limit)
    restored(backup, store, make_restorer(pg18, options=options), f"{name}_again", jobs=2)
    assert compared(pg18, name, f"{name}_again") == []
    run(
        pg18,
        name,
        "DROP EVENT TRIGGER noting; DROP TRIGGER touched ON orders; DELETE FROM seen; DROP INDEX orders_note",
    )
    restored_in_place(backup, store, make_restorer(pg18, name, options=options))
    assert compared(pg18, name, f"{name}_again") == []


def test_rows_of_a_table_that_the_first_lane_does_not_know_are_refused(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    one, other = new_database(pg18), new_database(pg18)
    for name in (one, other):
        fill(pg18, name, *(f"CREATE TABLE t{number} AS SELECT 1 AS id" for number in range(3)))
    mine, foreign = (backed_up(pg18, name, store, dump=lanes(2), target=name) for name in (one, other))
    mixed = replace(mine, parts=(mine.parts[0], foreign.parts[1]))
    folder = Path(store.url)
    name_of_volume = foreign.parts[1].volumes[0].name
    (folder / one / mine.id / name_of_volume).write_bytes((folder / other / foreign.id / name_of_volume).read_bytes())
    with pytest.raises(IntegrityFailed, match="lane 1 of the dump has rows of a table that is not in it"):
        restored(mixed, store, make_restorer(pg18), f"{one}_again")
