-- The processes of a cluster see one step of the server's clock each: the first one moves the rows, by so much.
ALTER TABLE clock ADD moved_seconds double precision;
COMMENT ON COLUMN clock.moved_back_at IS 'When rows were last moved along with the clock of the server. Real time.';
COMMENT ON COLUMN clock.moved_seconds IS 'By how much they were moved then; below 0: back.';
COMMENT ON COLUMN sms.busy_since IS
    'Business time since which the SMSC has not taken the text: too busy, or without a response. After links.give_up it is given up.';
