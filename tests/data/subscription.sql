-- A subscription that nobody answers: PostgreSQL 15 and newer, any build. pg_dump 16 and newer writes options for it
-- that older servers refuse, so it goes forward only.
CREATE SUBSCRIPTION "sub %s" CONNECTION 'host=127.0.0.1 port=1 dbname=none' PUBLICATION one, "two %s"
    WITH (connect = false, slot_name = NONE);
COMMENT ON SUBSCRIPTION "sub %s" IS 'waits';
