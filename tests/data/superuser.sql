-- What only a superuser may make: PostgreSQL 15 and newer, any build, after objects.sql.
SET search_path = sink;

CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE DEBUG 'seen %', tg_tag; END $$;
CREATE EVENT TRIGGER "watch %s" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION watch();
CREATE EVENT TRIGGER watch_off ON sql_drop EXECUTE FUNCTION watch();
ALTER EVENT TRIGGER watch_off DISABLE;
CREATE EVENT TRIGGER watch_rewrite ON table_rewrite EXECUTE FUNCTION watch();
COMMENT ON EVENT TRIGGER "watch %s" IS 'watches';

CREATE FOREIGN DATA WRAPPER nowhere OPTIONS (debug 'true');
CREATE SERVER far TYPE 'none' VERSION '1 "x"' FOREIGN DATA WRAPPER nowhere OPTIONS (host 'it''s far', "odd %s" '\');
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'someone');
CREATE USER MAPPING FOR sink_reader SERVER far;
CREATE FOREIGN TABLE distant (a int OPTIONS (name 'x') NOT NULL, b text DEFAULT 'b') SERVER far OPTIONS (path '/%s');
GRANT USAGE ON FOREIGN SERVER far TO sink_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER nowhere TO sink_owner;
COMMENT ON SERVER far IS 'far away';
COMMENT ON FOREIGN TABLE distant IS 'cannot be read';

CREATE PUBLICATION few FOR TABLE serials (id, t) WHERE (id > 3 AND t <> 'it''s'), ONLY cities WITH (publish = 'insert, truncate');
CREATE PUBLICATION "all %s" FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root);
CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA types WITH (publish = 'insert');
CREATE PUBLICATION no_tables;
COMMENT ON PUBLICATION few IS 'a few';

CREATE TYPE cents;
CREATE FUNCTION cents_in(cstring) RETURNS cents LANGUAGE internal IMMUTABLE STRICT AS 'int8in';
CREATE FUNCTION cents_out(cents) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int8out';
CREATE TYPE cents (INPUT = cents_in, OUTPUT = cents_out, LIKE = int8, CATEGORY = 'N', DEFAULT = '5');
CREATE FUNCTION cents_cmp(cents, cents) RETURNS int LANGUAGE internal IMMUTABLE STRICT LEAKPROOF AS 'btint8cmp';
CREATE FUNCTION cents_lt(cents, cents) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int8lt';
CREATE FUNCTION cents_eq(cents, cents) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int8eq';
CREATE FUNCTION cents_gt(cents, cents) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int8gt';
CREATE OPERATOR < (LEFTARG = cents, RIGHTARG = cents, FUNCTION = cents_lt, COMMUTATOR = >, RESTRICT = scalarltsel);
CREATE OPERATOR > (LEFTARG = cents, RIGHTARG = cents, FUNCTION = cents_gt, COMMUTATOR = <);
CREATE OPERATOR = (LEFTARG = cents, RIGHTARG = cents, FUNCTION = cents_eq, COMMUTATOR = =, HASHES, MERGES);
CREATE OPERATOR FAMILY cents_family USING btree;
CREATE OPERATOR CLASS cents_ops DEFAULT FOR TYPE cents USING btree FAMILY cents_family AS
    OPERATOR 1 <, OPERATOR 3 =, OPERATOR 5 >, FUNCTION 1 cents_cmp(cents, cents);
CREATE CAST (cents AS bigint) WITHOUT FUNCTION;
CREATE CAST (bigint AS cents) WITHOUT FUNCTION AS IMPLICIT;
CREATE TABLE prices (id int, price cents, prices cents[]);
INSERT INTO prices VALUES (1, '99', '{1,2}'), (2, DEFAULT, null), (3, '-9223372036854775808', '{}');
CREATE INDEX prices_price ON prices (price);

CREATE AGGREGATE share(float8 ORDER BY anyelement)
    (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);

-- Things of other owners.
ALTER TABLE hen OWNER TO sink_owner;
ALTER TABLE serials OWNER TO sink_owner;
ALTER TABLE revoked OWNER TO "Sink ""quoted"" 100% \ röle's";
ALTER SEQUENCE mid OWNER TO sink_owner;
ALTER FUNCTION plain(int) OWNER TO sink_owner;
ALTER PROCEDURE proceed(int, text) OWNER TO "Sink ""quoted"" 100% \ röle's";
ALTER AGGREGATE joined(text) OWNER TO sink_owner;
GRANT SELECT ON tenants, rents TO sink_owner;
ALTER VIEW by_key OWNER TO sink_owner;
ALTER MATERIALIZED VIEW stale OWNER TO sink_owner;
ALTER TYPE types.mood OWNER TO "Sink ""quoted"" 100% \ röle's";
ALTER DOMAIN types.word OWNER TO sink_owner;
ALTER COLLATION "c %s" OWNER TO sink_owner;
ALTER TEXT SEARCH CONFIGURATION searching OWNER TO sink_owner;
ALTER STATISTICS expressions OWNER TO sink_owner;
ALTER OPERATOR ~~~ (point, point) OWNER TO sink_owner;
ALTER LARGE OBJECT 7000001 OWNER TO sink_owner;
ALTER LARGE OBJECT 7000002 OWNER TO "Sink ""quoted"" 100% \ röle's";
CREATE SCHEMA AUTHORIZATION sink_owner;
ALTER SERVER far OWNER TO sink_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE sink_owner IN SCHEMA sink_owner GRANT INSERT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE sink_owner GRANT USAGE ON TYPES TO sink_reader;
SET ROLE sink_owner;
GRANT DELETE ON serials TO sink_reader WITH GRANT OPTION;
RESET ROLE;
SET ROLE sink_reader;
GRANT DELETE ON sink.serials TO "Sink ""quoted"" 100% \ röle's";
RESET ROLE;
DO $$
BEGIN
    EXECUTE format('ALTER ROLE sink_reader IN DATABASE %I SET statement_timeout = %L', current_database(), '5min');
    EXECUTE format('ALTER DATABASE %I OWNER TO sink_owner', current_database());
END
$$;
RESET search_path;
