-- What the current role may do with a table, and with these of its columns: whether it may alter it, insert, and update.
-- An update locks the table, too, which asks for the right to all of it.
SELECT pg_has_role(c.relowner, 'USAGE'),
       has_table_privilege(c.oid, 'INSERT')
           OR coalesce((SELECT bool_and(has_column_privilege(c.oid, a.attnum, 'INSERT')) FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attname = ANY (%(columns)s) AND a.attnum > 0), false),
       has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'SELECT')
FROM pg_class c WHERE c.oid = %(oid)s
