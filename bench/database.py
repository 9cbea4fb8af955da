"""A database of a given size and of real shapes, for the measurements."""

from __future__ import annotations

import psycopg

from backup.postgres.scratch import ScratchServer

_SHARE = 1_000_000_000

_TABLES = """
CREATE TABLE accounts (aid int NOT NULL, bid int, abalance int, filler char(84));
INSERT INTO accounts SELECT g, g % 100, (random() * 1e6)::int, '' FROM generate_series(1, {accounts}) g;
CREATE TABLE orders (id bigint NOT NULL, customer int, placed timestamptz, total numeric(12, 2), lines jsonb);
INSERT INTO orders SELECT g, (random() * 1e5)::int, now() - random() * interval '900 days',
  (random() * 1e4)::numeric(12, 2),
  jsonb_build_object('sku', md5(g::text), 'quantity', (random() * 9)::int,
                     'note', repeat('gift wrap ', (random() * 6)::int),
                     'ship', jsonb_build_object('city', 'City ' || g % 5000, 'zip', (random() * 99999)::int))
  FROM generate_series(1, {orders}) g;
CREATE TABLE events (at timestamptz, kind text, payload text);
INSERT INTO events SELECT now() - g * interval '1 second', (ARRAY['click', 'view', 'buy', 'login'])[1 + g % 4],
  'session=' || md5((g / 7)::text) || ' path=/products/' || g % 900 FROM generate_series(1, {events}) g;
ALTER TABLE accounts ADD PRIMARY KEY (aid);
ALTER TABLE orders ADD PRIMARY KEY (id);
CREATE INDEX ON orders (customer);
CREATE INDEX ON events (at);
"""

_MORE = """
CREATE TABLE wide (id bigint PRIMARY KEY, {columns}, body text, scanned bytea);
ALTER TABLE wide ALTER scanned SET STORAGE EXTERNAL;
INSERT INTO wide SELECT g, {values}, repeat('all work and no play ', 20 + (g % 60)::int),
  decode((SELECT string_agg(md5((g * 131 + n)::text), '') FROM generate_series(1, 60) n), 'hex')
  FROM generate_series(1, {wide}) g;
DO $$ BEGIN
  FOR n IN 1..{small} LOOP
    EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY, code text UNIQUE, since date, active boolean)', n);
    EXECUTE format('INSERT INTO small_%s SELECT g, md5(g::text), date ''2020-01-01'' + g %% 2000, g %% 3 = 0
                    FROM generate_series(1, {rows}) g', n);
  END LOOP;
END $$;
SELECT count(lo_from_bytea(0, decode((SELECT string_agg(md5((g * 7919 + n)::text), '')
  FROM generate_series(1, 4096) n), 'hex'))) FROM generate_series(1, {objects}) g;
"""
"""Wide rows with values out of line, small tables, and large objects of 64 KiB that no compression makes smaller."""

_COLUMNS = 40
_SMALL_TABLES = 200
_FEW = 20
_TINY = 64 << 20
"""Bytes below which a database has but few small tables: they would be all of it."""


def fill(server: ScratchServer, name: str, size: int, *, more: bool = False) -> int:
    """Make the database `name` of about `size` bytes; returns the bytes that it has.

    Args:
        server: where.
        name: of the database.
        size: bytes, indexes included.
        more: also wide rows, 200 small tables (20 in a database below 64 MiB) and large objects, which take a quarter
            of the size.
    """
    with psycopg.connect(server.address(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    share = size / _SHARE * (0.75 if more else 1)
    sizes = {"accounts": int(3_200_000 * share), "orders": int(1_000_000 * share), "events": int(1_900_000 * share)}
    with psycopg.connect(server.address(name), autocommit=True) as connection:
        connection.execute(_TABLES.format(**sizes).encode())
        if more:
            connection.execute(_more(size).encode())
        connection.execute("VACUUM ANALYZE")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    if row is None:
        raise LookupError("the server did not tell the size")
    return int(row[0])


def _more(size: int) -> str:
    numbers = range(1, _COLUMNS + 1)
    small = _FEW if size < _TINY else _SMALL_TABLES
    return _MORE.format(
        columns=", ".join(f"c{n} {'int' if n % 2 else 'text'}" for n in numbers),
        values=", ".join(f"(g * {n} % 1000)::int" if n % 2 else f"'value ' || g % {n * 10}" for n in numbers),
        wide=max(size * 15 // 100 // 3_000, 1),
        small=small,
        rows=max(size * 5 // 100 // small // 160, 1),
        objects=max(size * 5 // 100 // (70 << 10), 1),
    )
