-- Questions that follow a reply to another one at the same number: see HELD_FOR in gateway/store/sms.py.
ALTER TABLE sms ADD COLUMN follows_reply boolean NOT NULL DEFAULT false;
CREATE INDEX sms_following ON sms (link) WHERE state = 'queued' AND follows_reply;
