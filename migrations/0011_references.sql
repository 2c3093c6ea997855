-- Rows that cannot live without another. Checked at the commit, when the transaction has locked the other row anyway.
-- Not here: cases → lists, calls → cases, sms → cases and receipts_expected → sms. They are written in bulk, each by
-- one statement of the transaction that has written the other row; a check costs 9 µs and 57 octets of WAL a row,
-- together a twentieth of what a case costs.
ALTER TABLE progress ADD CONSTRAINT progress_of_a_list
    FOREIGN KEY (list_id) REFERENCES lists DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE questions ADD CONSTRAINT questions_of_a_case
    FOREIGN KEY (case_id) REFERENCES cases DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE dialogues ADD CONSTRAINT dialogues_of_a_case
    FOREIGN KEY (case_id) REFERENCES cases DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE replies ADD CONSTRAINT replies_of_a_case
    FOREIGN KEY (case_id) REFERENCES cases DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE wallet_events ADD CONSTRAINT wallet_events_of_a_case
    FOREIGN KEY (case_id) REFERENCES cases DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE progress VALIDATE CONSTRAINT progress_of_a_list;
ALTER TABLE questions VALIDATE CONSTRAINT questions_of_a_case;
ALTER TABLE dialogues VALIDATE CONSTRAINT dialogues_of_a_case;
ALTER TABLE replies VALIDATE CONSTRAINT replies_of_a_case;
ALTER TABLE wallet_events VALIDATE CONSTRAINT wallet_events_of_a_case;

-- How a case begins is the journey's to say (gateway/consent/journey.py, open_case).
ALTER TABLE cases ALTER state DROP DEFAULT;
