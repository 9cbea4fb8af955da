-- How many more sessions this role may open in this database; the superuser's own reserve is not counted on. Whose the
-- other sessions are, everybody sees; what they are for, not everybody.
WITH others AS (
    SELECT datid, usesysid FROM pg_stat_activity
    WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
)
SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int - (SELECT count(*) FROM others),
    (SELECT nullif(d.datconnlimit, -1) - (SELECT count(*) FROM others WHERE datid = d.oid)
     FROM pg_database d WHERE d.datname = current_database() AND NOT r.rolsuper),
    (SELECT nullif(r.rolconnlimit, -1) - (SELECT count(*) FROM others WHERE usesysid = r.oid) WHERE NOT r.rolsuper))
FROM pg_roles r WHERE r.rolname = session_user
