-- Statements that make chosen tables again in an empty database, as far as the catalogue says it without pg_dump: step,
-- stage, kind, name, statement, and what to do where that fails; at the end the sequences whose positions are kept. Names are qualified, as long as the search path is pg_catalog.
-- Functions, views, triggers, policies, owners and grants are not among them; what depends on such may fail.
WITH tables AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relispartition, c.relpartbound, n.nspname AS schema,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
           CASE WHEN c.relispartition THEN (SELECT count(*) FROM pg_partition_ancestors(c.oid)) ELSE 0 END AS depth
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%(tables)s::oid[])
), sequences AS MATERIALIZED (
    SELECT s.*, n.nspname AS schema, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
           o.refobjid AS owner, o.refobjsubid AS owner_column, o.deptype = 'i' AS of_identity,
           format(' INCREMENT BY %%s MINVALUE %%s MAXVALUE %%s START WITH %%s CACHE %%s%%s', s.seqincrement, s.seqmin, s.seqmax,
                  s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) AS options
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid
        AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0 AND o.deptype IN ('a', 'i')
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
      AND (o.refobjid IN (SELECT oid FROM tables)
           OR EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
                      WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
                        AND d.refobjid = c.oid AND f.adrelid IN (SELECT oid FROM tables))
           OR (%(all_sequences)s AND o.objid IS NULL AND c.relpersistence <> 't'
               AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'))
), columns AS MATERIALIZED (
    SELECT t.oid, t.name AS table_name, a.attnum, quote_ident(a.attname) AS name, a.attgenerated,
           quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
               || coalesce((SELECT ' COLLATE ' || quote_ident(s.nspname) || '.' || quote_ident(l.collname)
                            FROM pg_collation l JOIN pg_namespace s ON s.oid = l.collnamespace JOIN pg_type y ON y.oid = a.atttypid
                            WHERE l.oid = a.attcollation AND a.attcollation <> y.typcollation), '')
               AS collated,
           quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) AS plain,
           CASE WHEN a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
                                                      AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)
                THEN ' NOT NULL' ELSE '' END AS not_null,
           CASE a.attgenerated WHEN 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(f.adbin, f.adrelid) || ') STORED'
                               WHEN 'v' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(f.adbin, f.adrelid) || ') VIRTUAL'
                               ELSE '' END AS generation,
           CASE WHEN a.attidentity <> '' AND NOT t.relispartition THEN
               (SELECT ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END
                       || ' AS IDENTITY (SEQUENCE NAME ' || s.name || s.options || ')'
                FROM sequences s WHERE s.of_identity AND s.owner = t.oid AND s.owner_column = a.attnum)
           ELSE '' END AS identity,
           CASE WHEN a.attgenerated = '' THEN pg_get_expr(f.adbin, f.adrelid) END AS default_value
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
), bodies AS (
    SELECT oid, string_agg(collated || not_null || generation || coalesce(identity, ''), ', ' ORDER BY attnum) AS body,
           string_agg(plain || not_null || coalesce(identity, ''), ', ' ORDER BY attnum) AS plain
    FROM columns GROUP BY oid
), made AS (
    SELECT 1 AS step, 0::bigint AS place, 'before' AS stage, 'schema' AS kind, quote_ident(n.nspname) AS name,
           'CREATE SCHEMA IF NOT EXISTS ' || quote_ident(n.nspname) AS sql, '' AS otherwise
    FROM pg_namespace n
    WHERE n.nspname IN (SELECT schema FROM tables UNION SELECT schema FROM sequences
                        UNION SELECT e.nspname FROM pg_extension x JOIN pg_namespace e ON e.oid = x.extnamespace)
      AND NOT starts_with(n.nspname, 'pg_')
    UNION ALL
    SELECT 2, e.oid, 'before', 'extension', quote_ident(e.extname),
           'CREATE EXTENSION IF NOT EXISTS ' || quote_ident(e.extname) || ' SCHEMA ' || quote_ident(n.nspname), ''
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'
    UNION ALL
    SELECT 4, s.seqrelid, 'before', 'sequence', s.name,
           'CREATE SEQUENCE ' || s.name || ' AS ' || format_type(s.seqtypid, NULL) || s.options, ''
    FROM sequences s WHERE s.of_identity IS NOT TRUE
    UNION ALL
    SELECT 5, t.oid, 'before', 'table', t.name,
           head || coalesce(b.body, '') || ')' || CASE t.relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(t.oid) ELSE '' END,
           head || coalesce(b.plain, '') || ')'
    FROM tables t LEFT JOIN bodies b ON b.oid = t.oid
    CROSS JOIN LATERAL (
        SELECT 'CREATE ' || CASE WHEN t.relpersistence = 'u' AND t.relkind <> 'p' THEN 'UNLOGGED ' ELSE '' END
               || 'TABLE ' || t.name || ' (' AS head) AS around
    UNION ALL
    SELECT 6, t.depth, 'before', 'partition', t.name,
           'ALTER TABLE ' || p.name || ' ATTACH PARTITION ' || t.name || ' ' || pg_get_expr(t.relpartbound, t.oid), ''
    FROM tables t JOIN pg_inherits i ON i.inhrelid = t.oid JOIN tables p ON p.oid = i.inhparent WHERE t.relispartition
    UNION ALL
    SELECT 8, k.oid, 'after', 'constraint', t.name || '.' || quote_ident(k.conname),
           'ALTER TABLE ' || t.name || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ''
    FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid WHERE k.contype = 'n' AND NOT k.convalidated
    UNION ALL
    SELECT 7, c.oid, 'after', 'default', c.table_name || '.' || c.name,
           'ALTER TABLE ' || c.table_name || ' ALTER COLUMN ' || c.name || ' SET DEFAULT ' || c.default_value, ''
    FROM columns c WHERE c.default_value IS NOT NULL
    UNION ALL
    SELECT CASE k.contype WHEN 'f' THEN 10 ELSE 8 END, k.oid, 'after', 'constraint', t.name || '.' || quote_ident(k.conname),
           'ALTER TABLE ' || t.name || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ''
    FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid
    WHERE k.contype IN ('p', 'u', 'x', 'c', 'f') AND k.conparentid = 0
      AND (k.coninhcount = 0 OR NOT t.relispartition)
      AND (k.contype <> 'f' OR k.confrelid IN (SELECT oid FROM tables))
    UNION ALL
    SELECT 9, x.indexrelid, 'after', 'index', i.oid::regclass::text,
           regexp_replace(pg_get_indexdef(x.indexrelid), '^(CREATE (?:UNIQUE )?INDEX (?:"(?:[^"]|"")*"|[^ ]+) ON) ONLY ', '\1 '), ''
    FROM pg_index x JOIN tables t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT i.relispartition AND x.indisvalid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 11, s.seqrelid, 'after', 'owned by', s.name,
           'ALTER SEQUENCE ' || s.name || ' OWNED BY ' || c.table_name || '.' || c.name, ''
    FROM sequences s JOIN columns c ON c.oid = s.owner AND c.attnum = s.owner_column WHERE NOT s.of_identity
    UNION ALL
    SELECT 13, s.seqrelid, 'position', 'sequence', s.name, '', '' FROM sequences s
    UNION ALL
    SELECT 12, i.inhseqno, 'after', 'inheritance', t.name, 'ALTER TABLE ' || t.name || ' INHERIT ' || p.name, ''
    FROM pg_inherits i JOIN tables t ON t.oid = i.inhrelid JOIN tables p ON p.oid = i.inhparent WHERE NOT t.relispartition
)
SELECT step, stage, kind, name, sql, otherwise FROM made ORDER BY step, place, name
