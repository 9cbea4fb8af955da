-- Objects of users that depend on other objects of users, as (kind, schema, name, kind, schema, name) of the
-- dependent and of what it depends on. Names are as pg_dump's table of contents has them, where search_path is empty.
WITH user_schema AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname !~ '^pg_(toast_)?temp_'
), functions AS (
  SELECT p.oid, n.nspname, p.proname || '(' || coalesce((
      SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, i)
    ), CASE p.prokind WHEN 'a' THEN '*' ELSE '' END) || ')' AS name
  FROM pg_catalog.pg_proc p JOIN user_schema n ON n.oid = p.pronamespace
  WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend e
    WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('i', 'e')
  )
), relations AS (
  SELECT c.oid, n.nspname, c.relname, c.reltype, c.relkind
  FROM pg_catalog.pg_class c JOIN user_schema n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), types AS (
  SELECT t.oid, t.typarray, 'relation' AS kind, r.nspname, r.relname AS name
  FROM relations r JOIN pg_catalog.pg_type t ON t.oid = r.reltype
  UNION ALL
  SELECT t.oid, t.typarray, 'type', n.nspname, t.typname
  FROM pg_catalog.pg_type t JOIN user_schema n ON n.oid = t.typnamespace
  WHERE t.typrelid = 0 AND t.typelem = 0
), referenced AS (
  SELECT 'pg_catalog.pg_class'::regclass AS class, oid, 'relation' AS kind, nspname, relname AS name FROM relations
  UNION ALL
  SELECT 'pg_catalog.pg_type'::regclass, oid, kind, nspname, name FROM types
  UNION ALL
  SELECT 'pg_catalog.pg_type'::regclass, typarray, kind, nspname, name FROM types WHERE typarray <> 0
  UNION ALL
  SELECT 'pg_catalog.pg_proc'::regclass, oid, 'function', nspname, name FROM functions
), dependent AS (
  SELECT 'pg_catalog.pg_rewrite'::regclass AS class, w.oid, 'relation' AS kind, r.nspname, r.relname AS name
  FROM pg_catalog.pg_rewrite w JOIN relations r ON r.oid = w.ev_class
  UNION ALL
  SELECT 'pg_catalog.pg_constraint'::regclass, k.oid, 'foreign key', r.nspname, r.relname || ' ' || k.conname
  FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE k.contype = 'f' AND k.conparentid = 0
  UNION ALL
  SELECT 'pg_catalog.pg_trigger'::regclass, t.oid, 'trigger', r.nspname, r.relname || ' ' || t.tgname
  FROM pg_catalog.pg_trigger t JOIN relations r ON r.oid = t.tgrelid
  WHERE NOT t.tgisinternal AND t.tgparentid = 0
  UNION ALL
  SELECT 'pg_catalog.pg_policy'::regclass, p.oid, 'policy', r.nspname, r.relname || ' ' || p.polname
  FROM pg_catalog.pg_policy p JOIN relations r ON r.oid = p.polrelid
  UNION ALL
  SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid, 'relation', r.nspname, r.relname
  FROM pg_catalog.pg_attrdef d JOIN relations r ON r.oid = d.adrelid
  UNION ALL
  SELECT 'pg_catalog.pg_class'::regclass, oid, 'relation', nspname, relname FROM relations
  UNION ALL
  SELECT 'pg_catalog.pg_proc'::regclass, oid, 'function', nspname, name FROM functions
)
SELECT DISTINCT d.kind, d.nspname::text, d.name::text, r.kind, r.nspname::text, r.name::text
FROM pg_catalog.pg_depend p
JOIN dependent d ON d.class = p.classid AND d.oid = p.objid
JOIN referenced r ON r.class = p.refclassid AND r.oid = p.refobjid
WHERE p.deptype IN ('n', 'a') AND (d.kind, d.nspname, d.name) IS DISTINCT FROM (r.kind, r.nspname, r.name)
ORDER BY 1, 2, 3;
