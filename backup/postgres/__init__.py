"""PostgreSQL: connections, what a server says, the engines, the way back. The only importer of psycopg."""
