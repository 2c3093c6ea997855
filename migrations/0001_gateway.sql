-- The gateway's tables. Instants are business time (gateway/clock.py) unless the comment says real time.
-- Personal data lives in cases, sms, replies and reply_segments only; the journal carries digests of it.

-- Business time = origin + (real time - origin) * clock.rate; the origin is laid down at the first start.
CREATE TABLE clock (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    origin  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The key of the hashes that stand in the journal, and in erased rows, in place of personal data.
CREATE TABLE evidence_key (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    key  bytea NOT NULL DEFAULT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
);
INSERT INTO evidence_key DEFAULT VALUES;

-- Living processes and what they hold. Real time: leases are not a matter of the journey.
CREATE TABLE nodes (
    node        text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE links (
    link        text COLLATE "C" PRIMARY KEY,
    node        text COLLATE "C" REFERENCES nodes ON DELETE SET NULL,
    bound       smallint NOT NULL DEFAULT 0,        -- sessions bound just now
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),  -- when `bound` last changed
    taken_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE lists (
    list_id      text COLLATE "C" PRIMARY KEY,
    service      text NOT NULL,
    digest       bytea NOT NULL,                    -- SHA-256 of the decoded body
    records      integer NOT NULL,
    accepted     integer NOT NULL,
    duplicates   integer NOT NULL,
    rejected     integer NOT NULL,
    received_at  timestamptz NOT NULL
);
CREATE TABLE list_errors (
    list_id    text COLLATE "C" NOT NULL REFERENCES lists,
    line       integer NOT NULL,
    record_id  text,
    pointer    text NOT NULL,
    code       text NOT NULL
);
CREATE INDEX list_errors_by_line ON list_errors (list_id, line);

-- How many cases of a list are in each state, as a sum of deltas: a step appends, a job folds.
CREATE TABLE progress (
    list_id  text COLLATE "C" NOT NULL,
    state    text NOT NULL,
    cases    integer NOT NULL
);
CREATE INDEX progress_of_list ON progress (list_id);

CREATE TABLE cases (
    case_id       text COLLATE "C" PRIMARY KEY,     -- ULID
    list_id       text COLLATE "C" NOT NULL,
    record_id     text COLLATE "C" NOT NULL,
    service       text NOT NULL,
    category      smallint NOT NULL,
    language      text NOT NULL,
    pupil_iin     text COLLATE "C" NOT NULL,        -- a keyed hash once erased
    record        json,                             -- names and IINs as pushed: pupil, school, recipients; null once erased
    state         text NOT NULL DEFAULT 'looking_up',
    resume        text,                             -- where a parked case goes on
    position      smallint NOT NULL DEFAULT 0,      -- whose turn in record.recipients
    msisdn        text COLLATE "C",
    operator      text,
    repeat        smallint NOT NULL DEFAULT 0,      -- which question text is the latest: 0 the request, n the n-th repeat
    undelivered   smallint NOT NULL DEFAULT 0,      -- bit n: question text n was reported undeliverable
    unreachable   smallint NOT NULL DEFAULT 0,      -- recipients given up because their number did not work
    clarified     smallint NOT NULL DEFAULT -1,     -- the latest question text whose unclear reply got a clarification
    due_at        timestamptz,                      -- when the next repeat, or the end, is due
    answered_at   timestamptz,                      -- when the reply that counted came in
    evidence      text,                             -- sha256:... of the consent
    voucher_id    text,
    activated_at  timestamptz,
    used_at       timestamptz,
    opened_at     timestamptz NOT NULL,
    ended_at      timestamptz,
    erased_at     timestamptz
) WITH (fillfactor = 75);                           -- room for HOT updates
CREATE UNIQUE INDEX cases_of_list ON cases (list_id, record_id);
CREATE INDEX cases_of_pupil ON cases (pupil_iin, service);
CREATE INDEX cases_due ON cases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX cases_waiting ON cases (service, msisdn, case_id) WHERE state = 'waiting';
CREATE INDEX cases_to_erase ON cases (ended_at) WHERE ended_at IS NOT NULL AND erased_at IS NULL;

-- One open question per number and service: who holds it, and whether somebody may wait behind.
CREATE TABLE questions (
    service  text NOT NULL,
    msisdn   text COLLATE "C" NOT NULL,
    case_id  text COLLATE "C" NOT NULL,             -- whose question it is, or was the last
    before   text COLLATE "C",                      -- the case before that one: it may yet get a late reply
    open     boolean NOT NULL DEFAULT true,
    waiting  integer NOT NULL DEFAULT 0,            -- at least the number of cases waiting for the turn
    PRIMARY KEY (msisdn, service)
) WITH (fillfactor = 75);

-- The last concatenation reference given to a number: two texts under way to it never share one.
CREATE TABLE subscribers (
    msisdn     text COLLATE "C" PRIMARY KEY,
    reference  integer NOT NULL
) WITH (fillfactor = 75);

-- HTTP calls to make: a look-up in the MCB, a voucher from the wallet. next_at is real time.
CREATE TABLE calls (
    case_id   text COLLATE "C" NOT NULL,
    kind      text NOT NULL,                        -- lookup, voucher
    attempts  smallint NOT NULL DEFAULT 0,
    next_at   timestamptz NOT NULL DEFAULT '-infinity',
    node      text COLLATE "C",                     -- who is making it
    PRIMARY KEY (case_id, kind)
) WITH (fillfactor = 75);
CREATE INDEX calls_ready ON calls (kind, next_at) WHERE node IS NULL;
CREATE INDEX calls_taken ON calls (node) WHERE node IS NOT NULL;

CREATE TABLE sms (
    sms_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id        text COLLATE "C",                -- null: a screen for somebody who was asked nothing
    kind           text NOT NULL,                   -- request, repeat, agreed, refused, clarify; menu…: USSD screens
    repeat         smallint NOT NULL,               -- which question text: 0 the request, n the n-th repeat
    link           text COLLATE "C" NOT NULL,         -- that sends it: a fallback link makes it its own
    msisdn         text COLLATE "C" NOT NULL,
    priority       smallint NOT NULL,               -- 0 answers, 1 requests and repeats
    template       text NOT NULL,                   -- version of the template
    body           text,                            -- the exact text; null once erased
    long_messages  text NOT NULL,                   -- how it is cut: udh8, udh16, sar, payload; a screen: ussd
    reference      integer NOT NULL,
    segments       smallint NOT NULL,
    state          text NOT NULL DEFAULT 'queued',  -- queued, sending, accepted, delivered, undeliverable, refused, cancelled
    node           text COLLATE "C",                -- who is sending it
    attempts       smallint NOT NULL DEFAULT 0,     -- how often it was taken for sending
    answered       bigint NOT NULL DEFAULT 0,       -- bit n: segment n's acceptance is durable
    arrived        bigint NOT NULL DEFAULT 0,       -- bit n: segment n was reported delivered
    tracked        bigint NOT NULL DEFAULT 0,       -- bit n: a receipt of segment n was asked for
    message_ids    json,                            -- the SMSC's ids, in the order of segments
    tlvs           bytea,                           -- of a screen: its place in a USSD dialogue
    expires_at     timestamptz,                     -- real time: a screen that is late is not sent
    next_at        timestamptz NOT NULL DEFAULT '-infinity',  -- real time: not before
    follows_reply  boolean NOT NULL DEFAULT false,  -- to another question at the number: see HELD_FOR in store/sms.py
    created_at     timestamptz NOT NULL,
    accepted_at    timestamptz
) WITH (fillfactor = 75, toast_tuple_target = 256); -- the body moves out of line: progress updates stay small
ALTER TABLE sms ALTER body SET STORAGE EXTERNAL;
CREATE INDEX sms_ready ON sms (link, priority, sms_id) WHERE state = 'queued';
CREATE INDEX sms_taken ON sms (node) WHERE state = 'sending';
CREATE INDEX sms_following ON sms (link) WHERE state = 'queued' AND follows_reply;
CREATE INDEX sms_of_case ON sms (case_id);

-- Receipts to come, and receipts that came before the response they belong to. Real time.
CREATE TABLE receipts_expected (
    link        text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,          -- message_id without leading zeros and case
    message_id  text NOT NULL,
    sms_id      bigint NOT NULL,
    segment     smallint NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX receipts_expected_by_key ON receipts_expected (link, key);
CREATE INDEX receipts_expected_expiry ON receipts_expected (expires_at);
CREATE TABLE receipts_parked (
    link        text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  text NOT NULL,
    state       text NOT NULL,
    error       text NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX receipts_parked_by_key ON receipts_parked (link, key);
CREATE INDEX receipts_parked_expiry ON receipts_parked (expires_at);

CREATE TABLE replies (
    reply_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id           text COLLATE "C",
    link              text COLLATE "C" NOT NULL,
    source_addr       text COLLATE "C",             -- canonical MSISDN, or as it came; null once erased
    destination_addr  text NOT NULL,
    octets            bytea,                        -- as received; null once erased
    data_coding       smallint NOT NULL,
    smsc_time         text NOT NULL,
    verdict           text NOT NULL,
    normalised        boolean NOT NULL,
    rule_version      text NOT NULL,
    received_at       timestamptz NOT NULL,
    arrived_at        timestamptz NOT NULL DEFAULT clock_timestamp()  -- real time: de-duplication
);
CREATE INDEX replies_by_sender ON replies (source_addr, arrived_at);
CREATE INDEX replies_of_case ON replies (case_id);
CREATE TABLE reply_segments (
    link              text COLLATE "C" NOT NULL,
    source_addr       text COLLATE "C" NOT NULL,
    destination_addr  text NOT NULL,
    reference         integer NOT NULL,
    total             smallint NOT NULL,
    number            smallint NOT NULL,
    octets            bytea NOT NULL,               -- without the UDH
    udh_octets        smallint NOT NULL,            -- how long that was
    data_coding       smallint NOT NULL,
    smsc_time         text NOT NULL,
    received_at       timestamptz NOT NULL,
    arrived_at        timestamptz NOT NULL DEFAULT clock_timestamp(), -- real time
    joined            boolean NOT NULL DEFAULT false,
    PRIMARY KEY (link, source_addr, destination_addr, reference, total, number)
);
CREATE INDEX reply_segments_by_age ON reply_segments (arrived_at);

-- USSD dialogues under way: whose question a telephone's screen shows. Real time.
CREATE TABLE dialogues (
    link        text COLLATE "C" NOT NULL,
    msisdn      text COLLATE "C" NOT NULL,
    session     bytea NOT NULL,                     -- the SMSC's, out of its_session_info
    service     text NOT NULL,
    case_id     text COLLATE "C" NOT NULL,
    menus       smallint NOT NULL,                  -- how often the menu was shown
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (link, msisdn)
);

-- The journal: entries are appended to journal_pending by whoever makes them; one sealer moves them into
-- journal, which gives them their order (seq, the feed's cursor) and their place in the hash chain.
CREATE TABLE journal_pending (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    case_id   text COLLATE "C",
    event     text NOT NULL,
    event_id  text,                                 -- ULID; only of what SDU is told
    detail    json NOT NULL
);
CREATE TABLE journal (
    seq       bigint PRIMARY KEY,
    at        timestamptz NOT NULL,
    case_id   text COLLATE "C",
    event     text NOT NULL,
    event_id  text,
    detail    json NOT NULL,
    hash      bytea NOT NULL                        -- sha256(hash before || entry), see seal_journal
);
CREATE INDEX journal_of_case ON journal (case_id, seq);
CREATE INDEX journal_statuses ON journal (seq) WHERE event_id IS NOT NULL;

CREATE FUNCTION journal_link(before bytea, head bytea, entry bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS  -- as an aggregate's step a third faster than in SQL
    'BEGIN RETURN sha256(coalesce(before, head) || entry); END';
CREATE FUNCTION journal_entry(seq bigint, at timestamptz, case_id text, event text, event_id text, detail json)
    RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(concat_ws(E'\x1f', seq, (extract(epoch FROM at) * 1000000)::bigint,
                                coalesce(case_id, ''), event, coalesce(event_id, ''), detail::text), 'UTF8')
$$;
CREATE AGGREGATE journal_chain(head bytea, entry bytea) (SFUNC = journal_link, STYPE = bytea);

CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END $$;
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();

-- How far SDU has taken the statuses pushed to it.
CREATE TABLE feeds (
    feed  text PRIMARY KEY,
    seq   bigint NOT NULL DEFAULT 0,
    node  text COLLATE "C" REFERENCES nodes ON DELETE SET NULL   -- who pushes
);

CREATE TABLE wallet_events (
    event_id  text COLLATE "C" PRIMARY KEY,
    case_id   text COLLATE "C" NOT NULL,
    type      text NOT NULL,
    at        timestamptz NOT NULL
);

-- Every template that ever went out, by version, so that a text sent can be shown to be the text approved.
CREATE TABLE templates (
    version   text PRIMARY KEY,
    service   text NOT NULL,
    name      text NOT NULL,
    language  text NOT NULL,
    body      text NOT NULL
);
