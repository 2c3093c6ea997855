-- Who saw what, and the cases of a person or a number (DECISIONS.md, 54).

-- Searches and views by people: written before the response leaves.
CREATE TABLE access_log (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    actor     text NOT NULL CHECK (length(actor) BETWEEN 1 AND 100),
    role      text NOT NULL CHECK (role IN ('ops', 'support', 'auditor')),
    action    text NOT NULL CHECK (action IN ('search', 'list', 'view', 'messages', 'evidence', 'cancel', 'release', 'resend', 'accept_reply')),
    list_id   text COLLATE "C",
    case_ids  text[] COLLATE "C",
    digest    text COLLATE "C"
);
CREATE INDEX access_log_by_age ON access_log (at);
COMMENT ON TABLE access_log IS 'Searches and views of cases by people, and their acts: written before the response leaves. Kept for privacy.keep_days.';
COMMENT ON COLUMN access_log.seq IS 'Order of the rows, in which they are committed.';
COMMENT ON COLUMN access_log.at IS 'When. Business time.';
COMMENT ON COLUMN access_log.actor IS 'Who: name of the user, oidc: and the name in the token, or the role of a shared token.';
COMMENT ON COLUMN access_log.role IS 'The role in which it was done.';
COMMENT ON COLUMN access_log.action IS 'What was done.';
COMMENT ON COLUMN access_log.list_id IS 'The list whose cases were listed; null for none.';
COMMENT ON COLUMN access_log.case_ids IS 'The case that was requested, or those that were found; null for a page of cases.';
COMMENT ON COLUMN access_log.digest IS 'Digest of what was searched for, under the evidence key; null for nothing.';

-- The recipients of each record, so that a case is found by the IIN of any of them. The pupil is in cases.pupil_iin.
CREATE TABLE case_people (
    iin      bigint NOT NULL,
    case_id  text COLLATE "C" NOT NULL
);
INSERT INTO case_people (iin, case_id)
SELECT (people.person ->> 'iin')::bigint AS iin, case_id
FROM cases LEFT JOIN records USING (case_id),
     json_array_elements(coalesce(records.record, cases.record) -> 'recipients') AS people (person) ORDER BY iin;
CREATE INDEX case_people_by_iin ON case_people (iin);
-- Lists whose records are not all in it yet: a job fills it after the intake, which would be slower by a third.
CREATE TABLE case_people_due (
    list_id    text COLLATE "C" PRIMARY KEY,
    record_id  text COLLATE "C" NOT NULL DEFAULT ''
);
COMMENT ON TABLE case_people_due IS 'Lists with records whose recipients are not in case_people yet: searched one by one.';
COMMENT ON COLUMN case_people_due.list_id IS 'The list.';
COMMENT ON COLUMN case_people_due.record_id IS 'The last record, in their order, that is in case_people.';
COMMENT ON TABLE case_people IS 'The recipients of each record by their IIN. Deleted with the personal data of the case.';
COMMENT ON COLUMN case_people.iin IS 'The IIN as a number.';
COMMENT ON COLUMN case_people.case_id IS 'The case.';

-- One entry a question: neither number nor kind of a text changes before it is erased, so its updates stay HOT.
CREATE INDEX sms_of_number ON sms (msisdn) WHERE kind = 'request';
