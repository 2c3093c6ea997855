-- The row of a case is updated at each step of its journey. It holds what changes, and no index or predicate has a
-- column that does: updates are HOT. The record, which never changes, has a row of its own; what is to be found by
-- state or instant has a narrow row that exists as long as it is to be found. Nothing is rewritten here: cases from
-- before keep their record where it is.
CREATE TABLE records (
    case_id  text COLLATE "C" PRIMARY KEY,
    record   json NOT NULL
);
CREATE TABLE deadlines (
    at       timestamptz NOT NULL,
    case_id  text COLLATE "C" NOT NULL
);
CREATE INDEX deadlines_by_time ON deadlines (at, case_id);
CREATE TABLE ended_cases (
    at       timestamptz NOT NULL,
    case_id  text COLLATE "C" NOT NULL
);
CREATE INDEX ended_cases_by_time ON ended_cases (at, case_id);
CREATE TABLE waiting_cases (
    service  text NOT NULL,
    msisdn   text COLLATE "C" NOT NULL,
    case_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (msisdn, service, case_id)
);
CREATE TABLE cases_for_ops (
    reason   text NOT NULL CONSTRAINT cases_for_ops_reason CHECK (reason IN ('parked', 'held')),
    list_id  text COLLATE "C" NOT NULL,
    case_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (reason, list_id, case_id)
);
INSERT INTO deadlines SELECT due_at, case_id FROM cases WHERE due_at IS NOT NULL;
INSERT INTO ended_cases SELECT ended_at, case_id FROM cases WHERE ended_at IS NOT NULL AND erased_at IS NULL;
INSERT INTO waiting_cases SELECT service, msisdn, case_id FROM cases WHERE state = 'waiting' AND msisdn IS NOT NULL;
INSERT INTO cases_for_ops SELECT 'parked', list_id, case_id FROM cases WHERE state = 'parked';
INSERT INTO cases_for_ops SELECT 'held', list_id, case_id FROM cases WHERE held IS NOT NULL;
DROP INDEX cases_due, cases_to_erase, cases_waiting, cases_parked, cases_held;
-- A transaction updates all cases of a page at once, since they came with one list: each needs room for a version.
ALTER TABLE cases SET (fillfactor = 50);

-- As with cases: the row of a text is what is kept, and these are how it is found while it is to be sent.
CREATE TABLE outbox (
    link        text COLLATE "C" NOT NULL,
    priority    smallint NOT NULL,
    sms_id      bigint NOT NULL,
    next_at     timestamptz NOT NULL DEFAULT '-infinity',
    expires_at  timestamptz,
    PRIMARY KEY (link, priority, sms_id)
);
CREATE TABLE sending (
    node    text COLLATE "C" NOT NULL,
    sms_id  bigint NOT NULL,
    PRIMARY KEY (node, sms_id)
);
INSERT INTO outbox SELECT link, priority, sms_id, next_at, expires_at FROM sms WHERE state = 'queued';
INSERT INTO sending SELECT node, sms_id FROM sms WHERE state = 'sending';
DROP INDEX sms_ready, sms_taken;
ALTER TABLE sms SET (fillfactor = 60);

CREATE TYPE case_instant_row AS (at timestamptz, case_id text);
CREATE TYPE case_for_ops_row AS (reason text, list_id text, case_id text);

COMMENT ON COLUMN cases.record IS 'The record of a case from before `records`; null for others, and once erased.';
COMMENT ON TABLE records IS 'Records as SDU pushed them: written with the case, deleted when its personal data is erased.';
COMMENT ON COLUMN records.case_id IS 'The case.';
COMMENT ON COLUMN records.record IS 'Names and IINs: pupil, school, recipients in the order in which they are asked.';
COMMENT ON TABLE deadlines IS 'Deadlines by time: an entry whose case has another due_at by then is dropped when its time comes.';
COMMENT ON COLUMN deadlines.at IS 'cases.due_at when the entry was written.';
COMMENT ON COLUMN deadlines.case_id IS 'The case.';
COMMENT ON TABLE ended_cases IS 'Cases that have ended and whose personal data is not erased yet, by time.';
COMMENT ON COLUMN ended_cases.at IS 'cases.ended_at.';
COMMENT ON COLUMN ended_cases.case_id IS 'The case.';
COMMENT ON TABLE waiting_cases IS 'Cases in the state waiting, by the number that they wait for.';
COMMENT ON COLUMN waiting_cases.service IS 'As in cases.';
COMMENT ON COLUMN waiting_cases.msisdn IS 'As in cases.';
COMMENT ON COLUMN waiting_cases.case_id IS 'The case.';
COMMENT ON TABLE cases_for_ops IS 'Cases on which ops have to decide.';
COMMENT ON COLUMN cases_for_ops.reason IS 'parked: the state is parked; held: cases.held is not null.';
COMMENT ON COLUMN cases_for_ops.list_id IS 'As in cases.';
COMMENT ON COLUMN cases_for_ops.case_id IS 'The case.';
COMMENT ON TABLE outbox IS 'Texts in the state queued, in the order of sending.';
COMMENT ON COLUMN outbox.link IS 'As in sms.';
COMMENT ON COLUMN outbox.priority IS 'As in sms.';
COMMENT ON COLUMN outbox.sms_id IS 'The text.';
COMMENT ON COLUMN outbox.next_at IS 'As in sms.';
COMMENT ON COLUMN outbox.expires_at IS 'As in sms.';
COMMENT ON TABLE sending IS 'Texts in the state sending, by the process that sends them.';
COMMENT ON COLUMN sending.node IS 'As in sms.';
COMMENT ON COLUMN sending.sms_id IS 'The text.';
