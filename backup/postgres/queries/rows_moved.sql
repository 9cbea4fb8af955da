-- Of these tables, what was put elsewhere after the snapshot of this transaction: partitions that were attached, detached
-- or dropped, and columns that were renamed, dropped or replaced. The catalogue's own rows are those of the snapshot;
-- pg_partition_ancestors and pg_identify_object look at the newest ones, and take no lock on a table.
WITH RECURSIVE tree (root, oid) AS (
    SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY (%(oids)s)
    UNION
    SELECT tree.root, i.inhrelid
    FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind = 'p'
    JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
), roots AS (
    SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY (%(oids)s) AND c.relkind = 'p'
), moved AS (
    SELECT c.oid
    FROM pg_catalog.pg_class c CROSS JOIN roots
    WHERE c.relkind IN ('r', 'p', 'f')
      AND EXISTS (SELECT FROM tree WHERE tree.root = roots.oid AND tree.oid = c.oid)
          <> (roots.oid = c.oid OR EXISTS (SELECT FROM pg_partition_ancestors(c.oid) AS a (oid) WHERE a.oid = roots.oid))
    UNION
    SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid = ANY (%(oids)s) AND a.attnum > 0 AND NOT a.attisdropped AND pg_table_is_visible(c.oid) IS NOT NULL
      AND (pg_identify_object('pg_class'::regclass, c.oid, a.attnum)).identity
          IS DISTINCT FROM quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname)
)
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM moved JOIN pg_catalog.pg_class c ON c.oid = moved.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1
