-- The processes of a cluster see one step of the server's clock each: the first one moves the rows, by so much.
ALTER TABLE clock ADD moved_seconds double precision;
COMMENT ON COLUMN clock.moved_back_at IS 'When rows were last moved along with the clock of the server. Real time.';
COMMENT ON COLUMN clock.moved_seconds IS 'By how much they were moved then; below 0: back.';
COMMENT ON COLUMN sms.busy_since IS
    'Business time since which the SMSC has not taken the text: too busy, or without a response. After links.give_up it is given up.';
-- A held withdrawal lapses after 30 days; one that is held already, after so many from now on.
WITH withdrawals AS (
    UPDATE cases SET due_at = clock_timestamp() + interval '30 days'
    WHERE case_id IN (SELECT case_id FROM cases_for_ops WHERE reason = 'held') AND due_at IS NULL
      AND (state IN ('consented', 'voucher_issued', 'voucher_rejected') OR resume = 'consented')
    RETURNING due_at, case_id
)
INSERT INTO deadlines (at, case_id) SELECT due_at, case_id FROM withdrawals;
COMMENT ON COLUMN cases.due_at IS
    'When the next repeat, the end, or the lapse of a held withdrawal is due; null while a question text is on its way.';
