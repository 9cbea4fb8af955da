-- Large objects that the current role may not read: the first 20 and how many in all.
SELECT m.oid::bigint, count(*) OVER ()
FROM pg_largeobject_metadata m
WHERE current_setting('lo_compat_privileges') = 'off' AND NOT has_largeobject_privilege(m.oid, 'SELECT')
ORDER BY 1
LIMIT 20
