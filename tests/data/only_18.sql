-- What PostgreSQL 16, 17 and 18 brought, any build, after objects.sql.
CREATE SCHEMA newer;
SET search_path = newer;

CREATE TABLE virtual (a int, doubled int GENERATED ALWAYS AS (a * 2) VIRTUAL, stored int GENERATED ALWAYS AS (a + 1) STORED);
INSERT INTO virtual VALUES (1), (null);

CREATE TABLE required (
    a int CONSTRAINT "a is %s needed" NOT NULL,
    b int CONSTRAINT mine_alone NOT NULL NO INHERIT,
    c int
);
INSERT INTO required VALUES (1, 2, null);
ALTER TABLE required ADD CONSTRAINT not_yet NOT NULL c NOT VALID;
COMMENT ON CONSTRAINT "a is %s needed" ON required IS 'a not null constraint';
CREATE TABLE required_child () INHERITS (required);

CREATE TABLE lenient (id int PRIMARY KEY, a int CONSTRAINT loose CHECK (a > 0) NOT ENFORCED, up int REFERENCES lenient NOT ENFORCED);
INSERT INTO lenient VALUES (1, -1, 99);

CREATE TABLE stays (room int4range, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE bills (id int, room int4range, during daterange, FOREIGN KEY (room, PERIOD during) REFERENCES stays (room, PERIOD during));
INSERT INTO stays VALUES ('[1,2)', '[2026-01-01,2026-01-05)', 'Ada'), ('[1,2)', '[2026-01-05,2026-01-09)', 'Bob');
INSERT INTO bills VALUES (1, '[1,2)', '[2026-01-03,2026-01-07)');

CREATE COLLATION bytes_utf8 (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE collated (t text COLLATE bytes_utf8, u text COLLATE pg_unicode_fast);
INSERT INTO collated VALUES ('É', 'é');

CREATE TABLE partitioned_identity (id int GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k);
CREATE TABLE partitioned_identity_1 PARTITION OF partitioned_identity FOR VALUES IN (1);
INSERT INTO partitioned_identity (k) VALUES (1), (1);
CREATE UNLOGGED SEQUENCE passing;
SELECT nextval('passing');

CREATE TABLE spans (i interval, u uuid DEFAULT uuidv7(), x bigint DEFAULT 0x1_000);
INSERT INTO spans VALUES ('infinity', '00000000-0000-7000-8000-000000000000'), ('-infinity', null);
CREATE VIEW json_view AS
SELECT jt.a, JSON_VALUE(b, '$.x' RETURNING int) AS x
FROM JSON_TABLE('[{"a": 1, "b": {"x": 2}}]'::jsonb, '$[*]' COLUMNS (a int PATH '$.a', b jsonb PATH '$.b')) AS jt;

CREATE FUNCTION welcome() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE DEBUG 'welcome'; END $$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION welcome();
GRANT MAINTAIN ON virtual TO sink_reader;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO sink_reader;
CREATE PUBLICATION generated FOR TABLE virtual WITH (publish = 'insert', publish_generated_columns = stored);
RESET search_path;
