-- Large objects that the current role may not read: the first 20 and how many in all. What the server's own
-- pg_largeobject_aclcheck asks, which no function shows before version 18.
SELECT m.oid::bigint, count(*) OVER ()
FROM pg_largeobject_metadata m
WHERE current_setting('lo_compat_privileges') = 'off'
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND NOT EXISTS (
      SELECT FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) granted
      WHERE granted.privilege_type = 'SELECT'
        AND CASE granted.grantee WHEN 0 THEN true ELSE pg_has_role(granted.grantee, 'USAGE') END)
ORDER BY 1
LIMIT 20
