-- Every relation that a choice of rows may name, with what the current role may do with it; touches none of them.
-- Visible is what the search path finds by its name alone. A foreign key that a partition has from its parent is left out,
-- and so is a key WITHOUT OVERLAPS, by which no ON CONFLICT could go.
SELECT c.oid::int8, n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text,
       coalesce(array_position(%(path)s::name[], n.nspname) = (
           SELECT min(array_position(%(path)s::name[], m.nspname))
           FROM pg_class o JOIN pg_namespace m ON m.oid = o.relnamespace WHERE o.relname = c.relname), false),
       c.relispartition,
       has_schema_privilege(n.oid, 'USAGE'),
       has_table_privilege(c.oid, 'SELECT'),
       c.relrowsecurity AND row_security_active(c.oid),
       (SELECT jsonb_agg(jsonb_build_array(i.columns, i.indisprimary))
        FROM (SELECT x.indisprimary,
                     (SELECT jsonb_agg(a.attname ORDER BY k.place)
                      FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                      WHERE k.place <= x.indnkeyatts) AS columns
              FROM pg_index x
              WHERE x.indrelid = c.oid AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL
                AND NOT x.indisexclusion AND x.indexprs IS NULL
                AND NOT EXISTS (SELECT FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                                WHERE k.place <= x.indnkeyatts AND NOT a.attnotnull)) AS i),
       (SELECT jsonb_agg(jsonb_build_array(
                   f.conname,
                   (SELECT jsonb_agg(a.attname ORDER BY k.place) FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum),
                   f.confrelid::int8,
                   (SELECT jsonb_agg(a.attname ORDER BY k.place) FROM unnest(f.confkey) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum),
                   f.condeferrable) ORDER BY f.conname)
        FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conrelid = c.oid
          AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = f.conparentid AND p.conrelid = f.conrelid))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.objsubid = 0 AND d.deptype = 'e')
ORDER BY 2, 3
