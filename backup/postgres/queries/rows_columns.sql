-- The columns of the same relations. JSON of a type that is PostgreSQL's own, and neither json nor made of it, has no
-- line end; that of others may have: domains and composite types over json, types with a cast to it. Exact is what is a
-- number, a boolean or a text there: an array loses its bounds in JSON, and json its null.
SELECT a.attrelid::int8, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid::int8,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
       t.typnamespace = 'pg_catalog'::regnamespace AND t.typname NOT IN ('json', '_json')
           OR t.typtype IN ('e', 'r', 'm'),
       t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typcategory <> 'A'
               AND t.typname NOT IN ('json', 'jsonb')
           OR t.typtype IN ('e', 'r', 'm'),
       a.attgenerated <> '', a.attnotnull,
       (SELECT quote_ident(s.nspname) || '.' || quote_ident(l.collname)
        FROM pg_collation l JOIN pg_namespace s ON s.oid = l.collnamespace
        WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
       a.atthasdef OR a.attidentity <> '', quote_ident(a.attname),
       coalesce((SELECT s.nspname FROM pg_operator o JOIN pg_namespace s ON s.oid = o.oprnamespace
                 WHERE o.oprname = '=' AND o.oprleft = o.oprright AND o.oprleft = (
                     WITH RECURSIVE base (oid, of) AS (  -- a domain compares as what it is made of
                         SELECT t.oid, t.typbasetype
                         UNION ALL SELECT b.oid, b.typbasetype FROM base JOIN pg_type b ON b.oid = base.of)
                     SELECT base.oid FROM base WHERE base.of = 0)
                 ORDER BY o.oid LIMIT 1), 'pg_catalog'),
       a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = ANY (%(oids)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
