#!/usr/bin/env bash
# Run once by the image of PostgreSQL, when db1 has been initialised: roles, database, replication.
set -euo pipefail
echo "host replication replicator samenet scram-sha-256" >> "$PGDATA/pg_hba.conf"
psql -v ON_ERROR_STOP=1 -v password="$POSTGRES_PASSWORD" --username=postgres --dbname=postgres <<'END'
CREATE ROLE gateway LOGIN PASSWORD :'password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'password';
GRANT pg_monitor TO gateway;
CREATE DATABASE sms OWNER gateway TEMPLATE template0 ENCODING 'UTF8';
ALTER SYSTEM SET wal_keep_size = '1GB';
ALTER SYSTEM SET wal_log_hints = on;
-- Last, and from the next start on: a commit returns when db2 has it on its disk, too.
ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (db2)';
END
