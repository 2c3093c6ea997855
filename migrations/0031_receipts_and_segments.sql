-- A receipt with the state UNKNOWN ends a text, but another receipt may follow and say what became of it.
ALTER TABLE sms ADD COLUMN delivery_unknown boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sms.delivery_unknown IS 'Whether the text is undeliverable by a receipt with the state UNKNOWN alone: a later receipt counts.';
ALTER TYPE settled_text_row ADD ATTRIBUTE delivery_unknown boolean;
-- An incomplete reply waits for ten minutes whatever the clocks do: each run of the job that flushes them counts.
ALTER TABLE reply_segments ADD COLUMN waited smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN reply_segments.waited IS 'Runs of the job flush_replies, one each 30 s, for which the segment has waited for the others.';
