-- The CREATE DATABASE that makes this database as it is, in the words of pg_dump; columns that not every version has are
-- asked for by their names.
SELECT 'CREATE DATABASE ' || quote_ident(d.datname) || ' WITH TEMPLATE = template0 ENCODING = '
       || quote_literal(pg_encoding_to_char(d.encoding))
       || CASE said.provider
          WHEN 'i' THEN ' LOCALE_PROVIDER = icu' WHEN 'b' THEN ' LOCALE_PROVIDER = builtin' ELSE ' LOCALE_PROVIDER = libc' END
       || ' LC_COLLATE = ' || quote_literal(d.datcollate) || ' LC_CTYPE = ' || quote_literal(d.datctype)
       || CASE said.provider
          WHEN 'i' THEN ' ICU_LOCALE = ' || quote_literal(said.locale) || coalesce(' ICU_RULES = ' || quote_literal(said.rules), '')
          WHEN 'b' THEN ' BUILTIN_LOCALE = ' || quote_literal(said.locale) ELSE '' END
FROM pg_database d CROSS JOIN LATERAL (
    SELECT to_jsonb(d) ->> 'datlocprovider' AS provider, to_jsonb(d) ->> 'daticurules' AS rules,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale) AS said
WHERE d.datname = current_database()
