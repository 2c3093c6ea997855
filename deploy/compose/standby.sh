#!/usr/bin/env bash
# The entry point of db2: a copy of db1 at the first start, then its standby. As root, until PostgreSQL itself runs.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chown postgres "$PGDATA"
    chmod 0700 "$PGDATA"
    gosu postgres pg_basebackup --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --write-recovery-conf \
        --dbname="host=db1 user=replicator password=$POSTGRES_PASSWORD application_name=db2"
fi
exec gosu postgres postgres
