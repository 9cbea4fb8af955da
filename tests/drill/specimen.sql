-- A database with one of everything that a drill compares: PostgreSQL 15 and newer, by a superuser.
-- Its roles are there already; settings of the database itself are in specimen.py, for a copy has none of them.
CREATE SCHEMA shop;
CREATE SCHEMA hollow;
CREATE EXTENSION hstore SCHEMA shop;
SET search_path = shop, public;

CREATE TYPE state AS ENUM ('new', 'paid');
CREATE TYPE spare AS ENUM ('one', 'two');
CREATE DOMAIN amount AS numeric CONSTRAINT not_negative CHECK (VALUE >= 0);
CREATE TYPE address AS (street text, town text);

CREATE TABLE items (id int PRIMARY KEY, name text, stock int, price numeric, weight float8);
INSERT INTO items SELECT i, 'item ' || i, i * 3, i + 0.5, i / 8.0 FROM generate_series(1, 50) AS i;
INSERT INTO items VALUES (100, NULL, 0, 1.0, 0.0);
CREATE TABLE notes (at date, note text);
INSERT INTO notes VALUES ('2026-01-01', 'one'), ('2026-01-02', repeat('long ', 5000) || 'a'), (NULL, NULL);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item int NOT NULL CONSTRAINT of_item REFERENCES items,
    code text CONSTRAINT one_code UNIQUE,
    state state DEFAULT 'new',
    amount int CONSTRAINT sensible CHECK (amount < 1000),
    twice int GENERATED ALWAYS AS (amount * 2) STORED,
    label varchar(20)
);
INSERT INTO orders (item, code, amount, label) SELECT i, 'c' || i, i, 'l' || i FROM generate_series(1, 20) AS i;
UPDATE orders SET state = 'paid' WHERE id > 10;
CREATE INDEX orders_state ON orders (state) WHERE amount > 3;
CREATE TABLE tickets (id serial PRIMARY KEY, note text, number int);
INSERT INTO tickets (note, number) SELECT 'n' || i, i FROM generate_series(1, 5) AS i;
CREATE SEQUENCE counter START 10 INCREMENT 5;
SELECT nextval('counter'), nextval('counter');
CREATE TABLE wide (a text, b text, c text COLLATE "POSIX");
INSERT INTO wide VALUES ('1', '2', '3');

CREATE TABLE secrets (owner text, body text);
INSERT INTO secrets VALUES ('someone', 'x');
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets FOR SELECT TO specimen_reader USING (owner = current_user);
CREATE POLICY short ON secrets AS RESTRICTIVE USING (length(body) < 100);

CREATE FUNCTION vat(n numeric) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT n * 0.19';
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RETURN; END';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE watched (id int, t text);
INSERT INTO watched VALUES (1, 'a');
CREATE TRIGGER noted BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER noted_too AFTER DELETE ON watched FOR EACH ROW EXECUTE FUNCTION note();
CREATE RULE no_insert AS ON INSERT TO watched DO INSTEAD NOTHING;
CREATE EVENT TRIGGER watching ON sql_drop EXECUTE FUNCTION watch();

CREATE TABLE events (id int NOT NULL, at date NOT NULL, body text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events SELECT i, '2025-12-20'::date + i, 'event ' || i FROM generate_series(1, 30) AS i;

CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 10;
CREATE VIEW dotted AS SELECT items.id, 'shop.items' AS source FROM items;
CREATE MATERIALIZED VIEW totals AS SELECT item, sum(amount) AS total FROM orders GROUP BY item;
CREATE STATISTICS both_columns (dependencies) ON stock, price FROM items;
CREATE COLLATION plain (provider = libc, locale = 'C');
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION near(point, point) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 <-> $2 < 1';
CREATE OPERATOR ~~~ (LEFTARG = point, RIGHTARG = point, FUNCTION = near);
CREATE FUNCTION written(address) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.street';
CREATE CAST (address AS text) WITH FUNCTION written(address);
CREATE TEXT SEARCH CONFIGURATION searching (COPY = simple);
CREATE PUBLICATION few FOR TABLE items, notes;
CREATE PUBLICATION others FOR TABLE watched WITH (publish = 'insert');
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere OPTIONS (host 'there');
CREATE USER MAPPING FOR specimen_reader SERVER far OPTIONS (user 'someone', password 'hidden');
CREATE FOREIGN TABLE distant (a int) SERVER far OPTIONS (path '/x');

SELECT lo_from_bytea(4711, 'one'), lo_from_bytea(4712, repeat('two', 2000)::bytea);
COMMENT ON TABLE items IS 'what is sold';
COMMENT ON COLUMN items.stock IS 'how many';
GRANT SELECT ON items TO specimen_reader;
GRANT UPDATE (note) ON notes TO specimen_reader;
GRANT SELECT ON LARGE OBJECT 4712 TO specimen_reader;
ALTER TABLE watched OWNER TO specimen_owner;
ALTER TABLE notes REPLICA IDENTITY FULL;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO specimen_reader;
