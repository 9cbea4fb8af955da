-- Tables that were truncated, rewritten or replaced by others after the snapshot of this transaction: in it they are
-- empty, without any error. The catalogue still names the old file in the snapshot; pg_relation_filenode looks at the
-- newest one, and to_regclass for the table that has the name now.
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.relfilenode <> 0
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND (pg_relation_filenode(c.oid) <> c.relfilenode
       OR (n.nspname !~ '^pg_' AND has_schema_privilege(to_regnamespace(quote_ident(n.nspname))::oid, 'USAGE')
           AND to_regclass(format('%I.%I', n.nspname, c.relname)) <> c.oid::regclass))
ORDER BY 1
