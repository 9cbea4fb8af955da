-- What else decides how whole a dump is: extensions, catalogues that pg_dumpall reads, what pg_dump leaves out.
SELECT (SELECT array_agg(quote_ident(extname) || ' ' || extversion ORDER BY extname) FROM pg_extension
        WHERE extname <> 'plpgsql'),
       (SELECT array_agg(name ORDER BY name)
        FROM unnest(ARRAY['pg_auth_members', 'pg_db_role_setting', 'pg_roles', 'pg_tablespace']) AS name
        WHERE NOT has_table_privilege('pg_catalog.' || name, 'SELECT')),
       (SELECT count(*) FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'),
       (SELECT count(s.oid) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
        WHERE d.datname = current_database() AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
