-- How far the check has gone round the journal: it goes on after a restart, and in another process.
CREATE TABLE journal_check (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq      bigint NOT NULL DEFAULT 0,
    hash     bytea NOT NULL DEFAULT '',
    version  smallint NOT NULL DEFAULT 1,
    since    timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO journal_check DEFAULT VALUES;
COMMENT ON TABLE journal_check IS 'The position of the check that goes round the whole journal, over and over.';
COMMENT ON COLUMN journal_check.one IS 'The only row.';
COMMENT ON COLUMN journal_check.seq IS 'The last entry of this round that was checked; 0: none.';
COMMENT ON COLUMN journal_check.hash IS 'Its hash.';
COMMENT ON COLUMN journal_check.version IS 'Version of its hash.';
COMMENT ON COLUMN journal_check.since IS 'When the round began. Real time.';
