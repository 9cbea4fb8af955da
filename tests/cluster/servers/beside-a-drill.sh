#!/bin/sh
# Stands in for Docker's `postgres` image: a server with its arguments, with PGDATA and POSTGRES_HOST_AUTH_METHOD. As that
# image's entry point does, it first runs a server that answers on the socket while it sets the data up, and ends it.
set -eu
bin=$(printf "%s\n" /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
"$bin/initdb" --pgdata="$PGDATA" --username=postgres --auth="$POSTGRES_HOST_AUTH_METHOD" --encoding=UTF8 \
  --locale=C.UTF-8 --no-sync
"$bin/pg_ctl" -D "$PGDATA" -o "$(printf "'%s' " "$@")" -w start
# An initialisation that takes its time: long enough for a probe to find this server.
psql -X -h /var/run/postgresql -U postgres -c 'SELECT pg_sleep(4)'
"$bin/pg_ctl" -D "$PGDATA" -m fast -w stop
exec "$bin/postgres" -D "$PGDATA" "$@"
