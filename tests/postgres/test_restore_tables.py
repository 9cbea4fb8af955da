"""`--table`: the rows of some tables with all that belongs to them, and nothing that needs the others."""

from __future__ import annotations

import pytest

from backup.errors import NotFound
from backup.ports import RestoreReport
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import backed_up, column, make_restorer, restored, rows, run

_SHOP = """
CREATE SCHEMA archive;
CREATE TABLE customers (id serial PRIMARY KEY, name text);
CREATE TABLE orders (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number serial,
    customer int REFERENCES customers,
    parent int CONSTRAINT parent_known REFERENCES orders,
    total int CHECK (total > 0)
);
CREATE TABLE archive.orders (id int PRIMARY KEY, old int REFERENCES orders);
CREATE INDEX by_customer ON orders (customer);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TRIGGER touched ON orders IS 'touches';
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone ON orders USING (true);
CREATE STATISTICS pair ON customer, total FROM orders;
CREATE PUBLICATION all_orders FOR TABLE orders, customers;
CREATE RULE quiet AS ON DELETE TO orders DO INSTEAD NOTHING;
CREATE VIEW big AS SELECT * FROM orders WHERE total > 5;
CREATE MATERIALIZED VIEW totals AS SELECT sum(total) FROM orders;
CREATE TABLE events (id int, at date, kind text, PRIMARY KEY (id, at, kind)) PARTITION BY RANGE (at);
CREATE TABLE events_24 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (kind);
CREATE TABLE events_24_a PARTITION OF events_24 FOR VALUES IN ('a');
CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX events_at ON events (at);
INSERT INTO customers (name) SELECT 'c' || i FROM generate_series(1, 10) i;
INSERT INTO orders (customer, parent, total) SELECT i, 1, i FROM generate_series(1, 10) i;
INSERT INTO archive.orders SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO events VALUES (1, '2024-03-03', 'a'), (2, '2025-03-03', 'b');
SELECT lo_from_bytea(0, 'x');
SELECT lo_create(4242);
GRANT SELECT ON LARGE OBJECT 4242 TO PUBLIC;
COMMENT ON LARGE OBJECT 4242 IS 'answer';
CREATE TABLE "Odd ""name"" 100%
line" (a int PRIMARY KEY);
CREATE SCHEMA "or.der";
CREATE TABLE "or.der"."user" (id serial);
INSERT INTO "Odd ""name"" 100%
line" VALUES (1);
INSERT INTO "or.der"."user" SELECT FROM generate_series(1, 3);
"""


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase) -> str:
    name = new_database(pg18)
    run(pg18, name, _SHOP)
    return name


def only(server: Server, database: str, store: DirectoryStore, *tables: str, jobs: int = 2) -> RestoreReport:
    backup = backed_up(server, database, store)
    return restored(backup, store, make_restorer(server), f"{database}_again", tables=tables, jobs=jobs)


def test_only_the_tables_rows_come_back_with_all_that_hangs_on_it(
    pg18: Server, shop: str, store: DirectoryStore
) -> None:
    only(pg18, shop, store, "public.orders")
    again = f"{shop}_again"
    counts = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers), (SELECT count(*) FROM events)"
    assert rows(pg18, again, counts) == [(10, 0, 0)]
    assert rows(pg18, again, "SELECT sum(total), count(*) FROM big") == [(40, 5)]
    assert column(pg18, again, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1") == [
        "by_customer",
        "orders_pkey",
    ]
    constraints = "SELECT conname FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype <> 'n' ORDER BY 1"
    assert column(pg18, again, constraints) == ["orders_pkey", "orders_total_check", "parent_known"]
    triggers = "SELECT tgname, obj_description(oid) FROM pg_trigger WHERE NOT tgisinternal"
    assert rows(pg18, again, triggers) == [("touched", "touches")]
    assert column(pg18, again, "SELECT polname FROM pg_policy") == ["everyone"]
    assert column(pg18, again, "SELECT rulename FROM pg_rules WHERE schemaname = 'public'") == ["quiet"]
    assert column(pg18, again, "SELECT stxname FROM pg_statistic_ext") == ["pair"]
    assert column(pg18, again, "SELECT relrowsecurity FROM pg_class WHERE oid = 'orders'::regclass") == [True]


def test_serial_and_identity_sequences_go_on_where_they_were(pg18: Server, shop: str, store: DirectoryStore) -> None:
    only(pg18, shop, store, "public.orders", "or.der.user")
    new = "INSERT INTO orders (total) VALUES (11) RETURNING id, number"
    assert rows(pg18, f"{shop}_again", new) == [(11, 11)]
    assert rows(pg18, f"{shop}_again", 'INSERT INTO "or.der"."user" DEFAULT VALUES RETURNING id') == [(4,)]
    assert rows(pg18, f"{shop}_again", "INSERT INTO customers DEFAULT VALUES RETURNING id") == [(1,)]


def test_foreign_keys_to_tables_that_are_not_loaded_are_left_out_and_named(
    pg18: Server, shop: str, store: DirectoryStore
) -> None:
    report = only(pg18, shop, store, "public.orders")
    (cut,) = [note for note in report.notes if "foreign keys left out" in note]
    assert "public.orders orders_customer_fkey" in cut
    assert "parent_known" not in cut
    assert "archive.orders" not in cut.replace("archive.orders orders_old_fkey", "")


def test_foreign_keys_between_loaded_tables_stay(pg18: Server, shop: str, store: DirectoryStore) -> None:
    report = only(pg18, shop, store, "public.orders", "customers", "archive.orders")
    assert not [note for note in report.notes if "foreign keys" in note]
    found = column(pg18, f"{shop}_again", "SELECT conname FROM pg_constraint WHERE contype = 'f' ORDER BY 1")
    assert found == ["orders_customer_fkey", "orders_old_fkey", "parent_known"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_partitions_of_a_partitioned_table_come_with_it(
    pg18: Server, shop: str, store: DirectoryStore, jobs: int
) -> None:
    only(pg18, shop, store, "events", jobs=jobs)
    again = f"{shop}_again"
    assert column(pg18, again, "SELECT tableoid::regclass::text FROM events ORDER BY id") == [
        "events_24_a",
        "events_25",
    ]
    valid = "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indrelid::regclass::text LIKE 'events%'"
    assert rows(pg18, again, valid) == rows(pg18, shop, valid)
    assert rows(pg18, again, "SELECT count(*) FROM orders") == [(0,)]


def test_a_partition_alone_comes_back_with_its_rows_and_indexes(pg18: Server, shop: str, store: DirectoryStore) -> None:
    only(pg18, shop, store, "events_25")
    again = f"{shop}_again"
    assert column(pg18, again, "SELECT id FROM events") == [2]
    found = column(pg18, again, "SELECT indexname FROM pg_indexes WHERE tablename = 'events_25' ORDER BY 1")
    assert found == ["events_25_at_idx", "events_25_pkey"]


@pytest.mark.parametrize(
    "written",
    [
        'Odd "name" 100%\nline',
        'Odd "name" 100% line',
        '"Odd ""name"" 100%\nline"',
        'public."Odd ""name"" 100%\nline"',
    ],
)
def test_an_odd_name_may_be_written_as_it_is_or_quoted(
    pg18: Server, shop: str, store: DirectoryStore, written: str
) -> None:
    only(pg18, shop, store, written)
    assert rows(pg18, f"{shop}_again", 'SELECT a FROM "Odd ""name"" 100%\nline"') == [(1,)]


@pytest.mark.parametrize("written", ["or.der.user", '"or.der"."user"', 'or.der."user"', "user"])
def test_reserved_words_and_dots_are_names_too(pg18: Server, shop: str, store: DirectoryStore, written: str) -> None:
    only(pg18, shop, store, written)
    assert column(pg18, f"{shop}_again", 'SELECT id FROM "or.der"."user"') == [1, 2, 3]


def test_an_unknown_table_is_not_found_and_the_nearest_are_named(
    pg18: Server, shop: str, store: DirectoryStore
) -> None:
    with pytest.raises(NotFound, match="no table 'custmers'") as caught:
        only(pg18, shop, store, "custmers")
    assert "public.customers" in (caught.value.hint or "")
    with pytest.raises(NotFound) as caught:
        only(pg18, shop, store, "PUBLIC.CUSTOMERS")
    assert "public.customers" in (caught.value.hint or "")
    assert f"{shop}_again" not in pg18.databases()


def test_a_name_in_two_schemas_wants_its_schema(pg18: Server, shop: str, store: DirectoryStore) -> None:
    with pytest.raises(NotFound, match=r"archive\.orders, public\.orders|public\.orders, archive\.orders") as caught:
        only(pg18, shop, store, "orders")
    assert "schema.table" in (caught.value.hint or "")
