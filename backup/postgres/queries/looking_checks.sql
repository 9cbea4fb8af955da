-- Functions that may look at other tables and are called when rows are loaded: by a check of them, by one of a domain,
-- or for a column that is made of others. What a function does is seen in its text alone: so words count by which
-- rows are read, in it and in what it calls. One in C or the like does not look; of other languages nothing is known.
-- Servers before 12 have no columns that are made of others, so these are asked for by name.
WITH RECURSIVE written AS (
    SELECT p.oid, p.proname, p.prosrc, n.nspname, l.lanname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname NOT IN ('internal', 'c') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
), called AS (
    SELECT w.* FROM written w JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = w.oid
    WHERE d.classid = 'pg_constraint'::regclass
          AND EXISTS (SELECT FROM pg_constraint c WHERE c.oid = d.objid AND c.contype = 'c')
       OR d.classid = 'pg_attrdef'::regclass
          AND EXISTS (SELECT FROM pg_attrdef v JOIN pg_attribute a ON a.attrelid = v.adrelid AND a.attnum = v.adnum
                      WHERE v.oid = d.objid AND to_jsonb(a) ->> 'attgenerated' <> '')
    UNION
    SELECT w.* FROM called c JOIN written w
        ON c.prosrc ~* ('\m' || regexp_replace(w.proname, '(\W)', '\\\1', 'g') || '\M')
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid
                   AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = w.oid)
)
SELECT DISTINCT format('%I.%I', nspname, proname) FROM called
WHERE lanname NOT IN ('sql', 'plpgsql') OR prosrc ~* '\m(from|join|table|execute|perform)\M'
   OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = called.oid
              AND d.refclassid = 'pg_class'::regclass)
ORDER BY 1
