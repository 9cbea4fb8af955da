"""A database of a given size and of real shapes, on an embedded server, for the measurements."""

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


def fill(server: ScratchServer, name: str, size: int) -> int:
    """Make the database `name` of about `size` bytes; returns the bytes that it has."""
    with psycopg.connect(server.address(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    share = size / _SHARE
    sizes = {"accounts": int(3_200_000 * share), "orders": int(1_000_000 * share), "events": int(1_900_000 * share)}
    with psycopg.connect(server.address(name), autocommit=True) as connection:
        connection.execute(_TABLES.format(**sizes).encode())
        connection.execute("VACUUM ANALYZE")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    if row is None:
        raise LookupError("the server did not tell the size")
    return int(row[0])
