"""Rows by choice: what the catalogue says of tables, the SQL that reads them, and the way into a second database."""
