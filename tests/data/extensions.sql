-- What needs the contrib modules: PostgreSQL 15 and newer, after types.sql.
CREATE SCHEMA contrib;
SET search_path = contrib;

CREATE SCHEMA "ext %s";
CREATE EXTENSION hstore SCHEMA "ext %s";
CREATE EXTENSION citext SCHEMA contrib;
CREATE EXTENSION btree_gist SCHEMA "ext %s";
CREATE EXTENSION pg_trgm;
COMMENT ON EXTENSION citext IS 'case does not matter';

CREATE TABLE extended (id int, h "ext %s".hstore, c citext UNIQUE, room int, during tstzrange,
    CONSTRAINT one_at_a_time EXCLUDE USING gist (room "ext %s".gist_int4_ops WITH =, during WITH &&));
INSERT INTO extended VALUES
    (1, '"a"=>"1 \"x\"", "b"=>NULL', 'MiXed', 1, '[2026-01-01,2026-01-02)'), (2, '', 'other', 1, '[2026-01-02,)');
CREATE INDEX extended_trgm ON extended USING gin (c gin_trgm_ops);
CREATE TABLE shouts (loud citext[], pairs "ext %s".hstore[]);
INSERT INTO shouts VALUES ('{A,b,NULL}', ARRAY['a=>1'::"ext %s".hstore, null]);
RESET search_path;
