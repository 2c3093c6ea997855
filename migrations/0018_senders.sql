-- The sender of a reply as it came. source_addr is what was made of it: the subscriber's number, if it is one.
ALTER TABLE replies ADD COLUMN received_addr text, ADD COLUMN source_ton smallint, ADD COLUMN source_npi smallint;
ALTER TYPE reply_row
    ADD ATTRIBUTE received_addr text, ADD ATTRIBUTE source_ton smallint, ADD ATTRIBUTE source_npi smallint;
ALTER TABLE reply_segments
    ADD COLUMN received_addr text, ADD COLUMN source_ton smallint, ADD COLUMN source_npi smallint;
ALTER TYPE reply_segment_row
    ADD ATTRIBUTE received_addr text, ADD ATTRIBUTE source_ton smallint, ADD ATTRIBUTE source_npi smallint;

COMMENT ON COLUMN replies.received_addr IS 'source_addr as received; null once erased, and for replies from before version 0.2.';
COMMENT ON COLUMN replies.source_ton IS 'Its type of number.';
COMMENT ON COLUMN replies.source_npi IS 'Its numbering plan.';
COMMENT ON COLUMN reply_segments.received_addr IS 'source_addr as received.';
COMMENT ON COLUMN reply_segments.source_ton IS 'Its type of number.';
COMMENT ON COLUMN reply_segments.source_npi IS 'Its numbering plan.';
