-- The field's terms: names that the code, the log and the documentation have in common.
ALTER TABLE doubts RENAME TO unacknowledged_periods;
ALTER TABLE cases RENAME COLUMN doubted TO reasked;
ALTER TABLE receipts_parked RENAME TO receipts_unmatched;
ALTER INDEX receipts_parked_by_key RENAME TO receipts_unmatched_by_key;
ALTER INDEX receipts_parked_expiry RENAME TO receipts_unmatched_expiry;
ALTER TABLE sms RENAME COLUMN answered TO accepted_segments;
ALTER TABLE sms RENAME COLUMN arrived TO delivered_segments;
ALTER TABLE sms RENAME COLUMN tracked TO tracked_segments;
ALTER TABLE questions RENAME COLUMN before TO previous_case_id;
