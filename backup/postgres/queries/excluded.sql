-- Tables, sequences and materialized views that patterns leave out, and schemas that are left out as a whole. A pattern without a schema means what the search
-- path finds by its name alone: the first of that name in its schemas. With the sequences that belong to a table.
SELECT c.relkind::text, format('%%I.%%I', n.nspname, c.relname),
       (SELECT array_agg(format('%%I.%%I', t.nspname, s.relname))
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_namespace t ON t.oid = s.relnamespace
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.refobjid = c.oid
          AND d.deptype IN ('a', 'i'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND EXISTS (
    SELECT FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS pattern (schema, name)
    WHERE c.relname::text ~ pattern.name COLLATE pg_catalog.default
      AND CASE WHEN pattern.schema IS NOT NULL THEN n.nspname::text ~ pattern.schema COLLATE pg_catalog.default
          ELSE n.nspname = ANY (%(path)s::name[]) AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace p ON p.oid = o.relnamespace
              WHERE o.relname = c.relname
                AND array_position(%(path)s::name[], p.nspname) < array_position(%(path)s::name[], n.nspname)) END)
UNION ALL
SELECT 'n', quote_ident(n.nspname), NULL FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND EXISTS (
    SELECT FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS pattern (schema, name)
    WHERE pattern.name = '' AND n.nspname::text ~ pattern.schema COLLATE pg_catalog.default)
