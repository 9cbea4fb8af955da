-- The sequences that give numbers to columns of these tables, by ownership, as identities or in defaults: each with a
-- column, which way it goes, its bounds, and whether the current role may read and set it and read the column.
SELECT u.sequence::int8, quote_ident(n.nspname) || '.' || quote_ident(c.relname), u.relation::int8, a.attname,
       s.seqincrement, s.seqmin, s.seqmax,
       has_sequence_privilege(u.sequence, 'UPDATE'), has_sequence_privilege(u.sequence, 'SELECT'),
       has_column_privilege(u.relation, u.attribute, 'SELECT')
FROM (SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid::int2 AS attribute
      FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        AND d.refobjsubid > 0 AND d.refobjid = ANY (%(oids)s)
      UNION
      SELECT d.refobjid, f.adrelid, f.adnum
      FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
      WHERE d.refclassid = 'pg_class'::regclass AND f.adrelid = ANY (%(oids)s)) AS u
JOIN pg_sequence s ON s.seqrelid = u.sequence
JOIN pg_class c ON c.oid = u.sequence
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = u.attribute
JOIN pg_type t ON t.oid = a.atttypid
WHERE t.typcategory = 'N' AND t.typname NOT IN ('oid', 'money') AND NOT starts_with(t.typname, 'reg')
ORDER BY 2, 3, 4
