-- Texts that an SMSC is too busy for, texts of which the outcome is unknown, and what a link says about itself.
ALTER TABLE sms ADD busy_since timestamptz;
COMMENT ON COLUMN sms.busy_since IS
    'Business time since which the SMSC has been too busy for the text; after links.give_up it is refused.';
CREATE TYPE released_text_row AS (sms_id bigint, delay interval, unsent boolean, busy_since timestamptz);
CREATE TYPE late_text_row AS (sms_id bigint, segments bigint);

ALTER TABLE links
    ADD send_window integer,
    ADD stopped_status bigint,
    ADD stopped_at timestamptz,
    ADD unaccepted_since timestamptz,
    ADD needed_timeout_seconds real;
COMMENT ON COLUMN links.send_window IS 'Segments that may be under way at once now, over all sessions; null: not bound.';
COMMENT ON COLUMN links.stopped_status IS
    'The command_status with which the SMSC refuses whatever the link sends; null: the link is not stopped.';
COMMENT ON COLUMN links.stopped_at IS 'Since when. Real time.';
COMMENT ON COLUMN links.unaccepted_since IS
    'The first submit_sm after which the SMSC has accepted nothing, for longer than response_timeout. Real time.';
COMMENT ON COLUMN links.needed_timeout_seconds IS
    'The response_timeout that the latest late responses would have needed; null: none came late.';
