"""Restores of dumps in lanes: at the same time, over what is there, and of some tables alone."""

from __future__ import annotations

import pytest

from backup.postgres.restore_job import RestoreOptions
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.compare import difference, facts
from tests.support.pgproof import (
    ZSTD,
    backed_up,
    lanes,
    make_restorer,
    restored,
    restored_in_place,
    rows,
    run,
)

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
