-- What needs libxml and ICU: a PostgreSQL 15 or newer as distributions build it, after objects.sql.
SET search_path = sink;

CREATE TABLE marked (id int, x xml, doc xml DEFAULT '<a/>');
INSERT INTO marked VALUES
    (1, '<a b="1">ü<!-- c --></a>', '<?xml version="1.0"?><r><![CDATA[<]]></r>'), (2, 'just text', null), (3, '', DEFAULT);

CREATE COLLATION german (provider = icu, locale = 'de-u-kn-true-ks-level2', deterministic = false);
CREATE TABLE sorted (t text COLLATE german PRIMARY KEY, u text COLLATE "en-x-icu");
INSERT INTO sorted VALUES ('a2', 'x'), ('A10', 'y'), ('ä', 'z');
RESET search_path;
