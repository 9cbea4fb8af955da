#!/bin/sh
# A PostgreSQL server of the newest major in the image, on a volume that is empty at first. Nothing here outlives the
# pod, so nothing waits for a disk.
set -eu
bin=$(printf "%s\n" /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
data=/data/pg
if [ ! -f "$data/PG_VERSION" ]; then
  echo "$PGPASSWORD" >/data/password
  "$bin/initdb" --pgdata="$data" --username=postgres --pwfile=/data/password --auth=scram-sha-256 --encoding=UTF8 \
    --locale=C.UTF-8 --no-sync >/data/initdb.log || { cat /data/initdb.log; exit 1; }
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off \
  -c log_line_prefix='%m [%p] %d ' -c log_timezone=UTC -c max_connections=200 -c shared_buffers=64MB
