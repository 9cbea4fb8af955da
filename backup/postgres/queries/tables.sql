-- Tables with rows of their own, the smallest first, and why one will not be read.
-- The size of a table waits for its lock: it is asked for only where that is held.
SELECT format('%%I.%%I', n.nspname, c.relname) AS name,
       CASE WHEN format('%%I.%%I', n.nspname, c.relname) = ANY (%(sized)s)
            THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END AS size,
       CASE WHEN n.nspname || '.' || c.relname ~ ANY (%(excluded)s) THEN 'a setting leaves it out'
            WHEN c.relpersistence = 'u' AND pg_is_in_recovery() THEN 'unlogged tables are empty on a standby' END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY size, name
