-- Tables with rows of their own, the smallest first, and why one will not be read.
-- The size of a table waits for its lock: it is asked for only where that is held.
-- Columns that came from a parent stand first after a restore, wherever they stood before: of such tables in order of name.
SELECT format('%%I.%%I', n.nspname, c.relname) AS name,
       CASE WHEN format('%%I.%%I', n.nspname, c.relname) = ANY (%(sized)s)
            THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END AS size,
       CASE WHEN c.relpersistence = 'u' AND pg_is_in_recovery() THEN 'unlogged tables are empty on a standby' END,
       CASE WHEN NOT c.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
            THEN (SELECT array_agg(quote_ident(a.attname) ORDER BY a.attname) FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY size, name
