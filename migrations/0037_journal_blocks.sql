-- A process of the version before may run on: it waits here before it seals, and before it appends. What it has not
-- committed by now comes before. The lock of the sealers is the first one, as it is theirs.
SELECT pg_advisory_xact_lock(1785689458::bigint # ((CASE current_schema() WHEN 'public' THEN 0
                                                    ELSE hashtext(current_schema()) END)::bigint << 32));
LOCK TABLE journal_pending IN ACCESS EXCLUSIVE MODE;

-- Sealed entries are kept 256 at a time, compressed: a tenth of the octets of a row each, and of its WAL. A block has
-- the entries of one node of the lowest stored level of the Merkle tree. What is sealed since the last block ended is
-- in rows of `journal`, and so is what earlier versions have sealed, until the job fold_journal has come to it.
CREATE TABLE journal_blocks (
    position      bigint PRIMARY KEY CHECK (position >= 0),
    entries       bytea NOT NULL,
    before        bytea NOT NULL,
    hash          bytea NOT NULL,
    version       smallint NOT NULL CHECK (version BETWEEN 1 AND 2),
    node          bytea NOT NULL,
    ended_at      timestamptz NOT NULL,
    statuses      smallint NOT NULL,
    last_status   bigint,
    status_since  timestamptz,
    cases         integer[] NOT NULL,
    CHECK ((statuses = 0) = (last_status IS NULL)),
    CHECK ((statuses = 0) = (status_since IS NULL))
);
ALTER TABLE journal_blocks ALTER entries SET STORAGE EXTERNAL;
-- Each block has some 256 keys: a list of pending ones would be read by every search.
CREATE INDEX journal_blocks_of_case ON journal_blocks USING gin (cases) WITH (fastupdate = off);
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();

CREATE FUNCTION journal_rows_folded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone WHERE NOT EXISTS (
        SELECT FROM journal_blocks AS block WHERE block.position = (gone.seq - 1) >> 8)) THEN
        RAISE EXCEPTION 'the journal is append-only';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER journal_append_only ON journal;
CREATE TRIGGER journal_append_only BEFORE UPDATE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();
CREATE TRIGGER journal_rows_folded AFTER DELETE ON journal REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION journal_rows_folded();

-- So it is with what is pending: the entries of a transaction are one row, and the first entries of a list's cases are
-- none until they are sealed. What the version before has written is sealed here.
WITH head AS (
    SELECT coalesce(max(seq), 0) AS seq, coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '') AS hash
    FROM journal
), numbered AS (
    SELECT head.seq + row_number() OVER (ORDER BY id) AS seq, head.hash AS head, pending.*
    FROM journal_pending AS pending, head
)
INSERT INTO journal (seq, at, case_id, event, event_id, detail, hash)
SELECT seq, at, case_id, event, event_id, detail,
       journal_chain(head, journal_entry(seq, at, case_id, event, event_id, detail)) OVER (ORDER BY seq)
FROM numbered;
DROP TABLE journal_pending;
DROP AGGREGATE journal_chain(bytea, bytea);
DROP FUNCTION journal_link(bytea, bytea, bytea);
DROP FUNCTION journal_entry(bigint, timestamptz, text, text, text, json);
CREATE TABLE journal_pending (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL,
    size     integer NOT NULL CHECK (size > 0),
    entries  bytea,
    cases    integer[],
    list_id  text COLLATE "C",
    event    text,
    after    text COLLATE "C",
    CONSTRAINT journal_pending_entries CHECK ((entries IS NULL) = (cases IS NULL)),
    CONSTRAINT journal_pending_list CHECK ((list_id IS NULL) = (entries IS NOT NULL)),
    CONSTRAINT journal_pending_event CHECK ((list_id IS NULL) = (event IS NULL)),
    CONSTRAINT journal_pending_after CHECK ((list_id IS NULL) = (after IS NULL))
);
ALTER TABLE journal_pending ALTER entries SET STORAGE EXTERNAL;

CREATE TYPE figure_case_row AS (seq bigint, case_id text, event text);
CREATE TYPE figure_reply_row AS (at timestamptz, case_id text, verdict text);
CREATE TYPE figure_segments_row AS (minute timestamptz, link text, segments integer);

COMMENT ON COLUMN journal.hash IS 'SHA-256 of the previous entry''s hash and this entry (gateway/evidence/digests.py).';
COMMENT ON TABLE journal_pending IS 'Entries written by transactions and not yet sealed: the job seal moves them into the journal. A row has those of one transaction, or stands for the first entry of each case of a list.';
COMMENT ON COLUMN journal_pending.id IS 'Order of insertion.';
COMMENT ON COLUMN journal_pending.at IS 'When the first of the entries happened.';
COMMENT ON COLUMN journal_pending.size IS 'How many entries are to be sealed.';
COMMENT ON COLUMN journal_pending.entries IS 'The entries, in the form of journal_blocks.entries; null for a list.';
COMMENT ON COLUMN journal_pending.cases IS 'As in journal_blocks; null for a list.';
COMMENT ON COLUMN journal_pending.list_id IS 'The list whose cases have the entry; null for the entries of a transaction.';
COMMENT ON COLUMN journal_pending.event IS 'The event of those entries.';
COMMENT ON COLUMN journal_pending.after IS 'The last record of the list, in their order, whose entry is sealed; empty for none.';
COMMENT ON TABLE journal IS 'Sealed entries of the journal that are in no block yet: ordered by seq, hash-chained, append-only (triggers reject changes).';
COMMENT ON TABLE journal_blocks IS 'Sealed entries of the journal, 256 in each row: ordered, hash-chained, append-only (a trigger rejects changes). Also the feed of statuses.';
COMMENT ON COLUMN journal_blocks.position IS 'Place of the block, from 0. It has the entries from seq = position * 256 + 1 on.';
COMMENT ON COLUMN journal_blocks.entries IS 'The entries, columns in JSON compressed by zlib (gateway/store/journal_blocks.py).';
COMMENT ON COLUMN journal_blocks.before IS 'Hash of the entry before the first one; empty for the first block.';
COMMENT ON COLUMN journal_blocks.hash IS 'Hash of the last entry. Those between follow from `before` and the entries.';
COMMENT ON COLUMN journal_blocks.version IS 'Version of the hash of the last entry, as in journal.';
COMMENT ON COLUMN journal_blocks.node IS 'Hash of the node of the Merkle tree over these entries.';
COMMENT ON COLUMN journal_blocks.ended_at IS 'When the last entry happened.';
COMMENT ON COLUMN journal_blocks.statuses IS 'How many of the entries are statuses.';
COMMENT ON COLUMN journal_blocks.last_status IS 'seq of the last status; null for none.';
COMMENT ON COLUMN journal_blocks.status_since IS 'When the first status happened; null for none.';
COMMENT ON COLUMN journal_blocks.cases IS 'CRC-32 of the ids of the cases that the entries are of, by which the blocks of a case are found.';
