-- Rows that go into a statement together travel as one array of a composite type: store/ has a function each.
-- The attributes stand in the order of the fields in Python; a test compares them.
CREATE TYPE case_row AS (
    case_id text, state text, position smallint, msisdn text, operator text, repeat smallint, undelivered smallint,
    unreachable smallint, clarified smallint, reasked smallint, due_at timestamptz, answered_at timestamptz,
    evidence text, voucher_id text, activated_at timestamptz, used_at timestamptz, ended_at timestamptz, resume text
);
CREATE TYPE progress_row AS (list_id text, state text, cases integer);
CREATE TYPE number_row AS (service text, msisdn text, case_id text);
CREATE TYPE text_row AS (
    case_id text, kind text, repeat smallint, link text, msisdn text, priority smallint, template text, body text,
    long_messages text, segments smallint
);
CREATE TYPE screen_row AS (
    case_id text, kind text, link text, msisdn text, template text, body text, tlvs bytea
);
CREATE TYPE text_progress_row AS (
    sms_id bigint, state text, accepted_segments bigint, tracked_segments bigint, message_ids json,
    accepted_at timestamptz
);
CREATE TYPE expected_receipt_row AS (key text, message_id text, sms_id bigint, segment smallint);
CREATE TYPE receipt_key_row AS (ordinal integer, rank integer, link text, key text, message_id text);
CREATE TYPE unmatched_receipt_row AS (link text, key text, message_id text, state text, error text);
CREATE TYPE settled_text_row AS (sms_id bigint, state text, delivered_segments bigint);
CREATE TYPE reply_row AS (
    case_id text, link text, source_addr text, destination_addr text, octets bytea, data_coding smallint,
    smsc_time text, verdict text, normalised boolean, rule_version text
);
CREATE TYPE reply_segment_row AS (
    link text, source_addr text, destination_addr text, reference integer, total smallint, number smallint,
    octets bytea, udh_octets smallint, data_coding smallint, smsc_time text
);
CREATE TYPE segment_key_row AS (link text, source_addr text, destination_addr text, reference integer, total smallint);
CREATE TYPE sent_octets_row AS (source_addr text, octets bytea);
CREATE TYPE call_row AS (case_id text, kind text);
CREATE TYPE finished_call_row AS (case_id text, serial bigint);
CREATE TYPE retried_call_row AS (case_id text, serial bigint, delay interval);
CREATE TYPE dialogue_row AS (
    link text, msisdn text, session bytea, service text, case_id text, menus smallint
);
CREATE TYPE place_row AS (link text, msisdn text);
CREATE TYPE wallet_event_row AS (event_id text, case_id text, type text, at timestamptz);
CREATE TYPE route_row AS (sms_id bigint, link text);
CREATE TYPE erased_case_row AS (case_id text, pupil_iin text, msisdn text);
CREATE TYPE erased_number_row AS (msisdn text, hash text);

-- What a column may hold; a test compares these with the enums of the code.
ALTER TABLE cases
    ADD CONSTRAINT cases_state CHECK (state IN (
        'looking_up', 'waiting', 'queued', 'asked', 'reminded', 'consented', 'voucher_issued', 'voucher_rejected',
        'refused', 'no_number', 'no_answer', 'undeliverable', 'cancelled', 'parked')) NOT VALID,
    ADD CONSTRAINT cases_resume CHECK (resume IN ('looking_up', 'waiting', 'consented')) NOT VALID,
    ADD CONSTRAINT cases_resume_parked CHECK ((resume IS NOT NULL) = (state = 'parked')) NOT VALID,
    ADD CONSTRAINT cases_language CHECK (language IN ('kk', 'ru')) NOT VALID;
ALTER TABLE progress
    ADD CONSTRAINT progress_state CHECK (state IN (
        'looking_up', 'waiting', 'queued', 'asked', 'reminded', 'consented', 'voucher_issued', 'voucher_rejected',
        'refused', 'no_number', 'no_answer', 'undeliverable', 'cancelled', 'parked')) NOT VALID;
ALTER TABLE calls ADD CONSTRAINT calls_kind CHECK (kind IN ('lookup', 'voucher')) NOT VALID;
ALTER TABLE sms
    ADD CONSTRAINT sms_state CHECK (state IN (
        'queued', 'sending', 'accepted', 'delivered', 'undeliverable', 'refused', 'cancelled')) NOT VALID,
    ADD CONSTRAINT sms_kind CHECK (kind IN (
        'request', 'repeat', 'agreed', 'refused', 'clarify', 'menu', 'menu_agreed', 'menu_refused', 'menu_nothing',
        'menu_invalid')) NOT VALID,
    ADD CONSTRAINT sms_priority CHECK (priority IN (0, 1)) NOT VALID,
    ADD CONSTRAINT sms_long_messages CHECK (long_messages IN ('udh8', 'udh16', 'sar', 'payload', 'ussd')) NOT VALID,
    ADD CONSTRAINT sms_sending CHECK ((node IS NOT NULL) = (state = 'sending')) NOT VALID;
ALTER TABLE receipts_unmatched
    ADD CONSTRAINT receipts_unmatched_state CHECK (state IN (
        'enroute', 'delivered', 'expired', 'deleted', 'undeliverable', 'accepted', 'unknown', 'rejected',
        'unstated')) NOT VALID;
ALTER TABLE replies
    ADD CONSTRAINT replies_verdict CHECK (verdict IN ('agree', 'refuse', 'unclear', 'other', 'empty')) NOT VALID;
ALTER TABLE wallet_events
    ADD CONSTRAINT wallet_events_type CHECK (type IN ('activated', 'used')) NOT VALID;
ALTER TABLE templates ADD CONSTRAINT templates_language CHECK (language IN ('kk', 'ru')) NOT VALID;
