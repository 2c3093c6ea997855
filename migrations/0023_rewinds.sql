-- Times at which this database was found to lack entries of the journal that somebody had seen. While one of them is not
-- accepted, no process sends or acknowledges anything.
CREATE TABLE rewinds (
    rewind_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    found_by     text NOT NULL CHECK (found_by IN ('gateway', 'sdu')),
    seq          bigint NOT NULL CHECK (seq >= 0),
    hash         bytea NOT NULL,
    known_seq    bigint NOT NULL CHECK (known_seq > 0),
    known_hash   bytea,
    accepted_at  timestamptz,
    reread_at    timestamptz
);
CREATE UNIQUE INDEX rewinds_open ON rewinds ((accepted_at IS NULL)) WHERE accepted_at IS NULL;
COMMENT ON TABLE rewinds IS 'Times at which this database was found to lack entries of the journal that somebody had seen: a failover to a standby that was behind, a restored backup. Nothing is sent while one is not accepted.';
COMMENT ON COLUMN rewinds.rewind_id IS 'Order in which they were found.';
COMMENT ON COLUMN rewinds.found_at IS 'When it was found. Real time.';
COMMENT ON COLUMN rewinds.found_by IS 'Who had seen later entries: a process of the gateway, or SDU by its cursor.';
COMMENT ON COLUMN rewinds.seq IS 'journal.seq of the last entry at that time.';
COMMENT ON COLUMN rewinds.hash IS 'Its hash; empty where the journal had no entry.';
COMMENT ON COLUMN rewinds.known_seq IS 'journal.seq of the latest entry that is known to have existed.';
COMMENT ON COLUMN rewinds.known_hash IS 'Its hash; null where no process had seen it sealed.';
COMMENT ON COLUMN rewinds.accepted_at IS 'When ops accepted it; null: nothing is sent. Real time.';
COMMENT ON COLUMN rewinds.reread_at IS 'When a reader of statuses read from an entry that is left; until then cursors after it are rejected. Real time.';
