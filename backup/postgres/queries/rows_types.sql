-- The types that columns of these types need and that are not PostgreSQL's own, in the order in which they were made:
-- how each is written, its kind, the extension that it belongs to, the labels of an enum, and what would make it anew.
WITH RECURSIVE needed (oid) AS (
    SELECT unnest(%(oids)s::oid[])
    UNION
    SELECT part.oid FROM needed JOIN pg_type t ON t.oid = needed.oid CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typtype = 'b' AND t.typcategory = 'A'
        UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL SELECT a.atttypid FROM pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid) AS part (oid)
)
SELECT format_type(t.oid, NULL), quote_ident(n.nspname), t.typtype::text,
       (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'),
       (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid),
       CASE t.typtype
           WHEN 'e' THEN 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS ENUM ('
               || coalesce((SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder)
                   FROM pg_enum l WHERE l.enumtypid = t.oid), '') || ')'
           WHEN 'c' THEN (SELECT 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS ('
               || coalesce((SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                       || CASE WHEN b.typcollation <> a.attcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END,
                       ', ' ORDER BY a.attnum)
                   FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'
               FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
           WHEN 'd' THEN 'CREATE DOMAIN ' || format_type(t.oid, NULL) || ' AS ' || format_type(t.typbasetype, t.typtypmod)
               || coalesce((SELECT ' COLLATE ' || t.typcollation::regcollation FROM pg_type b
                   WHERE b.oid = t.typbasetype AND b.typcollation <> t.typcollation), '')
               || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
               || coalesce(' DEFAULT ' || t.typdefault, '')
               || coalesce((SELECT string_agg(' CONSTRAINT ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid), ''
                       ORDER BY c.conname)
                   FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c' AND c.convalidated), '')
           WHEN 'r' THEN (SELECT 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS RANGE (SUBTYPE = '
               || format_type(r.rngsubtype, NULL)
               || CASE WHEN r.rngcollation <> 0 THEN ', COLLATION = ' || r.rngcollation::regcollation ELSE '' END
               || ', MULTIRANGE_TYPE_NAME = ' || format_type(r.rngmultitypid, NULL) || ')'
               FROM pg_range r WHERE r.rngtypid = t.oid)
       END
FROM needed JOIN pg_type t ON t.oid = needed.oid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname <> 'pg_catalog' AND NOT (t.typtype = 'b' AND t.typcategory = 'A') AND t.typtype <> 'm'
ORDER BY t.oid
