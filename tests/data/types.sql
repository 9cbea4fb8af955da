-- Every built-in type with its extremes: PostgreSQL 15 and newer, any build, no superuser needed.
CREATE SCHEMA types;
SET search_path = types;

CREATE TABLE numbers (
    id int PRIMARY KEY, s smallint, i int, b bigint, n numeric, n2 numeric(20, 5), n3 numeric(3, -2),
    r real, d double precision, m money, truth boolean
);
INSERT INTO numbers VALUES
    (1, -32768, -2147483648, -9223372036854775808, '-Infinity', -0.00001, -99900, '-Infinity', '-Infinity',
     (-92233720368547758.08)::numeric::money, true),
    (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 999999999999999.99999, 99900, 'Infinity', 'Infinity',
     92233720368547758.07::numeric::money, false),
    (3, 0, 0, 0, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 0::money, null),
    (4, null, null, null, 1e-300, null, null, 1e-45, 1e-300, null, true),
    (5, 1, 1, 1, 1e1000, 0, 0, 3.4028235e38, 1.7976931348623157e308, 1::money, true),
    (6, 1, 1, 1, -1e-1000, 0, 0, '-0', 5e-324, 1::money, true),
    (7, 1, 1, 1, repeat('9', 20000)::numeric, 0, 0, 0.1, 0.1, 1::money, true),
    (8, 1, 1, 1, ('0.' || repeat('123456789', 1000))::numeric, 0, 0, 16777217, 0.30000000000000004, 1::money, true),
    (9, 1, 1, 1, 1.5000, 1.5, 149, 1.17549435e-38, '-0', 1::money, true);

CREATE TABLE texts (
    id int PRIMARY KEY, t text, v varchar(40), c char(10), one "char", n name, b bytea,
    bits bit(12), varbits bit varying(40)
);
INSERT INTO texts VALUES
    (1, '', '', '', '', '', '', B'000000000000', B''),
    (2, E'tab\there, newline\nhere, return\rhere, backslash \\ quote '' double " percent %s %% dollar $$ \\N \\.',
     E'\\N', 'a  ', 'x', 'Name', '\x00', B'111111111111', B'1'),
    (3, E'\\.', E'\\.\n', E'\\.', E'\\', repeat('n', 63), decode(repeat('5c', 100), 'hex'), B'101010101010', B'0101'),
    (4, E'\u00e9 e\u0301 \u4e2d\u6587 \U0001f980 \u202eright to left \ufeff \u00a0', E'\u00fc', E'\u00df', E'\\200',
     E'\u00e4\u00f6', '\xdeadbeef', B'000000000001', repeat('10', 20)::varbit),
    (5, E'\x01\x02\x03\x07\x08\x0b\x0c\x1b\x7f', ' leading', '  ', ' ', ' ', null, null, null),
    (6, null, null, null, null, null, null, null, null),
    (7, 'NULL', 'null', '\N', 'N', 'NULL', 'NULL', null, null),
    (8, '{}', '{"a":1}', '(,)', '{', ',', '\x7b7d', null, null);
INSERT INTO texts (id, t, b)
SELECT 9, string_agg(chr(i), '' ORDER BY i), string_agg(decode(lpad(to_hex(i % 256), 2, '0'), 'hex'), '' ORDER BY i)
FROM generate_series(1, 1000) AS i;

CREATE TABLE times (
    id int PRIMARY KEY, d date, t time, t0 time(0), tz time with time zone, ts timestamp, ts3 timestamp(3),
    tstz timestamptz, i interval, iy interval year to month, id0 interval day to second(0)
);
INSERT INTO times VALUES
    (1, '4713-01-01 BC', '00:00:00', '00:00:00', '00:00:00+15:59', '4713-01-01 00:00:00 BC',
     '4713-01-01 00:00:00 BC', '4713-01-02 00:00:00+00 BC', '-178000000 years', '-1 year', '-1 day'),
    (2, '5874897-12-31', '24:00:00', '24:00:00', '24:00:00-15:59', '294276-12-31 23:59:59.999999',
     '294276-12-31 23:59:59.999', '294276-12-31 23:59:59.999999+00', '178000000 years', '1 year 11 months', '1 day'),
    (3, 'infinity', '23:59:59.999999', '12:34:56', '12:34:56.789+00:30:15', 'infinity', 'infinity', 'infinity',
     '1 year -2 months 3 days -04:05:06.789', '-11 months', '00:00:01'),
    (4, '-infinity', null, null, null, '-infinity', '-infinity', '-infinity', '0', null, null),
    (5, '2024-02-29', '12:00', '12:00', '12:00Z', '2016-12-31 23:59:60', '1970-01-01', '2026-10-25 02:30:00+01',
     '-1 microsecond', null, null),
    (6, '0001-12-31 BC', null, null, null, '0001-01-01', '1582-10-15', '1883-11-18 12:03:58-04:56:02',
     '9223372036854 microseconds', null, null);

CREATE TABLE things (
    id int PRIMARY KEY, u uuid, ip inet, net cidr, mac macaddr, mac8 macaddr8, j json, jb jsonb, path jsonpath,
    tsv tsvector, tsq tsquery, lsn pg_lsn, x8 xid8, x xid, c cid, place tid, o oid, snap pg_snapshot,
    old_snap txid_snapshot, class regclass, proc regprocedure, kind regtype, area regnamespace, lang regconfig,
    cursor refcursor, acl aclitem, i2v int2vector, ov oidvector
);
INSERT INTO things VALUES
    (1, '00000000-0000-0000-0000-000000000000', '0.0.0.0/0', '0.0.0.0/0', '00:00:00:00:00:00',
     '00:00:00:00:00:00:00:00', '{"b":1,  "a": 2, "a": 3}', '{"b": 1, "a": [1.50, null, true, {"": ""}]}',
     '$.a[*] ? (@ > 1)', '''a b'':1A,2B c:3 ''it''''s''', '''fat'' & !''rat'':A* <-> ''x''', '0/0', '0', '0', '0', '(0,1)', 0,
     '10:20:10,14,15', '10:20:10,14,15', 'types.numbers', 'pg_catalog.lower(text)', 'int4range[]', 'types', 'simple',
     'a cursor', '=r/pg_database_owner', '1 2 3', '1 2 4294967295'),
    (2, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '::ffff:1.2.3.4/128', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff',
     'ff:ff:ff:ff:ff:ff:ff:ff', E'[1e400, "\\u00e9", "\\ud83e\\udd80",\n\t-0.0]', '[1e400, -0.0, "\u00e9", 123456789012345678901234567890]',
     'strict $."quo\"ted"', '', '', 'FFFFFFFF/FFFFFFFF', '18446744073709551615', '4294967295', '4294967295',
     '(4294967295,65535)', 4294967295, '1:1:', '1:1:', 'pg_catalog.pg_class', 'pg_catalog.now()', 'text', 'pg_catalog',
     'english', '', null, '', ''),
    (3, null, '192.168.1.5/24', '192.168.1.0/24', null, null, 'null', 'null', null, null, null, null, null, null, null,
     null, null, null, null, null, null, null, null, null, null, null, null, null),
    (4, null, 'fe80::1', null, null, null, '""', '{}', null, null, null, null, null, null, null,
     null, null, null, null, null, null, null, null, null, null, null, null, null);

CREATE TABLE shapes (
    id int PRIMARY KEY, p point, l line, s lseg, b box, open_path path, closed_path path, poly polygon, c circle
);
INSERT INTO shapes VALUES
    (1, '(0.1,-0.2)', '{1,-1,0.3}', '[(0,0),(1e-300,1e300)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))',
     '((0,0),(1,1),(2,0))', '<(0.1,0.2),3>'),
    (2, '(NaN,Infinity)', '{0,1,-Infinity}', '[(-Infinity,Infinity),(NaN,0)]', '(Infinity,NaN),(-Infinity,0)', '[(1,1)]',
     '((1,1))', '((NaN,NaN))', '<(0,0),Infinity>'),
    (3, null, null, null, null, null, null, null, null);

CREATE TABLE ranges (
    id int PRIMARY KEY, r4 int4range, r8 int8range, rn numrange, rd daterange, rt tsrange, rtz tstzrange,
    m4 int4multirange, m8 int8multirange, mn nummultirange, md datemultirange, mt tsmultirange, mtz tstzmultirange
);
INSERT INTO ranges VALUES
    (1, '[1,10)', '[-9223372036854775808,9223372036854775807)', '(0.1,NaN]', '[2026-01-01,infinity)',
     '(-infinity,infinity)', '[2026-11-22 08:00+00,2026-11-22 09:00+00)', '{[1,3),[5,7)}', '{[1,2)}', '{(,0),(1,)}',
     '{[2026-01-01,2026-02-01)}', '{(,)}', '{[2026-11-22 08:00+00,2026-11-22 09:00+00)}'),
    (2, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}', '{}', '{}', '{}', '{}'),
    (3, '(,)', '(,5)', '[5,)', '(,)', '(,)', '(,)', '{(,)}', null, null, null, null, null),
    (4, null, null, null, null, null, null, null, null, null, null, null, null);

CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', E'gl\u00fccklich', 'a, {b} \ c');
ALTER TYPE mood ADD VALUE 'before ok' BEFORE 'it''s "ok"';
CREATE TYPE pair AS (a int, "second ""b""" text, moods mood[]);
CREATE TYPE nested AS (p pair, ps pair[], r int4range);
CREATE DOMAIN positive AS int DEFAULT 1 NOT NULL CONSTRAINT "must be >0" CHECK (VALUE > 0);
CREATE DOMAIN positives AS positive[] CONSTRAINT few CHECK (cardinality(VALUE) < 5);
CREATE DOMAIN word AS text COLLATE "C" CONSTRAINT no_blank CHECK (VALUE !~ '\s') CONSTRAINT short CHECK (length(VALUE) < 20);
CREATE DOMAIN pair_domain AS pair CHECK ((VALUE).a IS DISTINCT FROM 0);
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = floats);
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE nothing AS ();
COMMENT ON TYPE mood IS E'a mood: it''s 100% "quoted"\nand has a second line \\ end';
COMMENT ON DOMAIN positive IS 'more than nothing';
COMMENT ON CONSTRAINT "must be >0" ON DOMAIN positive IS 'zero is not enough';
COMMENT ON COLUMN pair."second ""b""" IS 'a quoted attribute';

CREATE TABLE own (
    id positive PRIMARY KEY, m mood, p pair, n nested, ps positives, w word, pd pair_domain, fr floatrange, fs floats,
    tr textrange, ms mood[]
);
INSERT INTO own VALUES
    (1, 'sad', '(1,"a ""quoted"" \\ text, with (parens)",{sad})', ROW(ROW(1, null, null), ARRAY[ROW(2, '', '{}')::pair], '[1,2)'),
     '{1,2}', 'word', '(1,,)', '[1.5,NaN]', '{[1,2),[3,4]}', '[a,"b ""c""")', '{sad,NULL}'),
    (2, 'a, {b} \ c', '(,,)', null, '{}', '', null, 'empty', '{}', '(,)', '{}'),
    (2147483647, E'gl\u00fccklich', null, '(,,)', null, null, null, null, null, null, ARRAY['a, {b} \ c']::mood[]);

CREATE TABLE arrays (
    id int PRIMARY KEY, i int[], t text[], n numeric[], tz timestamptz[], b bytea[], j jsonb[], box box[], ranges int4range[],
    bools boolean[], fixed int[3][3]
);
INSERT INTO arrays VALUES
    (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
    (2, '{NULL,1,NULL}', '{NULL,"NULL","",a b,"c\\d","e\"f","{g}","h,i"}', '{NaN,1.50,-Infinity}', '{infinity,-infinity}',
     '{"\\x00","\\x"}', ARRAY['null'::jsonb, null, '"a"', '{"b": [1]}'], '{(1,1),(0,0);(2,2),(1,1)}', '{"[1,2)",empty}',
     '{t,f,NULL}', '{{1,2},{3,4}}'),
    (3, '[-2:0]={1,2,3}', '[0:1][5:6]={{a,b},{c,d}}', null, null, null, null, null, null, null,
     '{{{1,2},{3,4}},{{5,6},{7,8}}}'),
    (4, null, null, null, null, null, null, null, null, null, null);

-- Rows that go to the toast table: incompressible, compressible, kept plain in another storage.
CREATE TABLE heavy (id int PRIMARY KEY, random text, zeros bytea, outside text, main text, gone int);
ALTER TABLE heavy ALTER COLUMN outside SET STORAGE EXTERNAL, ALTER COLUMN main SET STORAGE MAIN,
    ALTER COLUMN random SET COMPRESSION pglz, ALTER COLUMN random SET STATISTICS 10;
ALTER TABLE heavy SET (toast.autovacuum_enabled = false, fillfactor = 70);
INSERT INTO heavy
SELECT i, (SELECT string_agg(md5(i || '-' || k), '' ORDER BY k) FROM generate_series(1, 20000 * i) AS k),
    decode(repeat('00', 1000000), 'hex'), repeat(E'ab\u00e9', 50000), repeat('m', 3000), i
FROM generate_series(1, 4) AS i;
ALTER TABLE heavy DROP COLUMN gone;
ALTER TABLE heavy ADD COLUMN late text DEFAULT 'filled in without a rewrite';

CREATE TABLE no_columns ();
CREATE TABLE two_rows_without_columns ();
INSERT INTO two_rows_without_columns DEFAULT VALUES;
INSERT INTO two_rows_without_columns DEFAULT VALUES;
CREATE TABLE empty (id int, t text);
CREATE TABLE all_dropped (a int, b int);
INSERT INTO all_dropped VALUES (1, 2), (3, 4);
ALTER TABLE all_dropped DROP COLUMN a, DROP COLUMN b;
CREATE TABLE reordered (gone int, b text DEFAULT 'b', gone2 text, a int);
INSERT INTO reordered VALUES (1, 'x', 'y', 2);
ALTER TABLE reordered DROP COLUMN gone, DROP COLUMN gone2;
ALTER TABLE reordered ADD COLUMN c int DEFAULT 7, ALTER COLUMN a TYPE bigint;

-- Large objects: text, empty, and one of 3 MiB in 1,536 pages.
CREATE TABLE files (id int PRIMARY KEY, content oid, note text);
SELECT lo_from_bytea(7000001, convert_to(E'a large object \u00e9', 'UTF8')), lo_create(7000002),
    lo_from_bytea(7000003, (SELECT string_agg(sha256(convert_to(i::text, 'UTF8')), '' ORDER BY i) FROM generate_series(1, 98304) AS i));
SELECT lo_put(7000002, 5000, '\x00ff');
INSERT INTO files VALUES (1, 7000001, 'text'), (2, 7000002, 'sparse'), (3, 7000003, 'three mebibytes'), (4, null, 'none');
COMMENT ON LARGE OBJECT 7000001 IS 'it''s "large"';
GRANT SELECT ON LARGE OBJECT 7000001 TO sink_reader;
GRANT ALL ON LARGE OBJECT 7000003 TO "Sink ""quoted"" 100% \ röle's" WITH GRANT OPTION;
RESET search_path;
