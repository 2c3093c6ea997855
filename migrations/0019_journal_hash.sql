-- Version 2 of the journal's hash. Version 1 wrote NULL and '' with the same octets, and let a separator in one field
-- look like the end of it. Entries that are sealed already keep version 1: `version` says how each one was hashed.

-- What is pending was written by the older version, and is sealed as that would have done: one more time with version 1,
-- under the lock of the sealers.
SELECT pg_advisory_xact_lock(1785689458);
WITH head AS (
    SELECT coalesce(max(seq), 0) AS seq, coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '') AS hash
    FROM journal
), claimed AS (
    DELETE FROM journal_pending RETURNING *
), numbered AS (
    SELECT head.seq + row_number() OVER (ORDER BY id) AS seq, head.hash AS head, claimed.* FROM claimed, head
)
INSERT INTO journal (seq, at, case_id, event, event_id, detail, hash)
SELECT seq, at, case_id, event, event_id, detail,
       journal_chain(head, journal_entry(seq, at, case_id, event, event_id, detail)) OVER (ORDER BY seq)
FROM numbered;

ALTER TABLE journal ADD COLUMN version smallint NOT NULL DEFAULT 1 CHECK (version BETWEEN 1 AND 2);
ALTER TABLE journal ALTER COLUMN version SET DEFAULT 2;

CREATE OR REPLACE FUNCTION journal_entry(
    seq bigint, at timestamptz, case_id text, event text, event_id text, detail json
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(concat_ws(E'\x1f', 'v2', seq, (extract(epoch FROM at) * 1000000)::bigint,
                                coalesce(length(case_id) || ':' || case_id, '-'), length(event) || ':' || event,
                                coalesce(length(event_id) || ':' || event_id, '-'), detail::text), 'UTF8')
$$;

COMMENT ON COLUMN journal.version IS 'Version of the hash: 1 for entries sealed by 0.1.0, else 2. Never falls with seq.';
