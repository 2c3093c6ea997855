-- Questions that a reply made room for: they are held until the SMSC surely has its acknowledgement (store/sms.py).
ALTER TABLE sms ADD COLUMN follows_reply boolean NOT NULL DEFAULT false;
CREATE INDEX sms_following ON sms (link) WHERE state = 'queued' AND follows_reply;
