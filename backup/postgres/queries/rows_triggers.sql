-- The enabled triggers of users on these tables and on their partitions, with the state of each, and whether the current
-- role may alter the table.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), t.tgname, t.tgenabled::text,
       pg_has_role(c.relowner, 'USAGE')
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
  AND (c.oid = ANY (%(oids)s)
       OR c.oid IN (SELECT p.relid FROM unnest(%(oids)s::oid[]) AS one (oid), pg_partition_tree(one.oid) AS p))
ORDER BY 1, 2
