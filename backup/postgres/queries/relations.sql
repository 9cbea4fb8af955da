-- What pg_dump locks or reads of the relations, and what the current role may not; touches none of them.
-- As pg_dump chooses: members of an extension only where they are its configuration tables; no foreign table, no view.
WITH chosen AS (
    SELECT c.oid, c.relkind, c.relrowsecurity, n.oid AS nspoid, quote_ident(n.nspname) AS space,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
      AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
      AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                       AND d.objsubid = 0 AND d.deptype = 'e')
           OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
), judged AS (
    SELECT space, name, relkind = 'S' AS is_sequence,
           has_schema_privilege(nspoid, 'USAGE') AS usable,
           CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT') ELSE has_table_privilege(oid, 'SELECT') END
               AS readable,
           relkind = 'r' AND relrowsecurity AND row_security_active(oid) AS hidden
    FROM chosen
)
SELECT quote_ident(current_user),
       count(DISTINCT space),
       array_agg(DISTINCT space) FILTER (WHERE NOT usable),
       count(*) FILTER (WHERE NOT is_sequence),
       array_agg(name ORDER BY name) FILTER (WHERE NOT is_sequence AND NOT readable),
       array_agg(DISTINCT space) FILTER (WHERE NOT is_sequence AND NOT readable),
       count(*) FILTER (WHERE is_sequence),
       array_agg(name ORDER BY name) FILTER (WHERE is_sequence AND NOT readable),
       array_agg(DISTINCT space) FILTER (WHERE is_sequence AND NOT readable),
       array_agg(name ORDER BY name) FILTER (WHERE hidden)
FROM judged
