-- Questions held back until the reply that made room for them is surely acknowledged (gateway/store/sms.py).
CREATE INDEX sms_held ON sms (link) WHERE state = 'queued' AND attempts = 0 AND next_at > '-infinity';
