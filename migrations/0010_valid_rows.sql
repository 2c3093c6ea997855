-- The rows of earlier versions hold to the same rules.
ALTER TABLE cases VALIDATE CONSTRAINT cases_state;
ALTER TABLE cases VALIDATE CONSTRAINT cases_resume;
ALTER TABLE cases VALIDATE CONSTRAINT cases_resume_parked;
ALTER TABLE cases VALIDATE CONSTRAINT cases_language;
ALTER TABLE progress VALIDATE CONSTRAINT progress_state;
ALTER TABLE calls VALIDATE CONSTRAINT calls_kind;
ALTER TABLE sms VALIDATE CONSTRAINT sms_state;
ALTER TABLE sms VALIDATE CONSTRAINT sms_kind;
ALTER TABLE sms VALIDATE CONSTRAINT sms_priority;
ALTER TABLE sms VALIDATE CONSTRAINT sms_long_messages;
ALTER TABLE sms VALIDATE CONSTRAINT sms_sending;
ALTER TABLE receipts_unmatched VALIDATE CONSTRAINT receipts_unmatched_state;
ALTER TABLE replies VALIDATE CONSTRAINT replies_verdict;
ALTER TABLE wallet_events VALIDATE CONSTRAINT wallet_events_type;
ALTER TABLE templates VALIDATE CONSTRAINT templates_language;
