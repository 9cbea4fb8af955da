-- Tables with rows of their own that pg_dump reads one by one, and the bytes that they take with what is stored out of
-- line. Those of extensions are dumped as their extensions say, so they stay where these are.
SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), coalesce(pg_table_size(c.oid), 0)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
