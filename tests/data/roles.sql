-- Roles of the kitchen sink: global, so they are made where they are missing and stay.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['sink_owner', 'sink_reader', E'Sink "quoted" 100% \\ r\u00f6le''s']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
    END LOOP;
END
$$;
