-- Every large object: its number, bytes, MD5, and a hash of these. OFFSET 0: each is read once.
SELECT m.oid::bigint, octet_length(l.content), md5(l.content), hashtextextended(m.oid || ' ' || md5(l.content), 0)
FROM pg_catalog.pg_largeobject_metadata m, LATERAL (SELECT lo_get(m.oid) AS content OFFSET 0) l
