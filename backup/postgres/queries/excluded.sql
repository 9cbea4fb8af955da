-- Tables, sequences and materialized views that patterns leave out. A pattern without a schema means what the search
-- path finds by its name alone: the first of that name in its schemas.
SELECT c.relkind::text, format('%%I.%%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND EXISTS (
    SELECT FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS pattern (schema, name)
    WHERE c.relname::text ~ pattern.name COLLATE pg_catalog.default
      AND CASE WHEN pattern.schema IS NOT NULL THEN n.nspname::text ~ pattern.schema COLLATE pg_catalog.default
          ELSE n.nspname = ANY (%(path)s::name[]) AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace p ON p.oid = o.relnamespace
              WHERE o.relname = c.relname
                AND array_position(%(path)s::name[], p.nspname) < array_position(%(path)s::name[], n.nspname)) END)
