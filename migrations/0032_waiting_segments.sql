-- An incomplete reply waits for ten minutes whatever the clocks do: each run of the job that flushes them counts.
ALTER TABLE reply_segments ADD COLUMN waited smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN reply_segments.waited IS 'Runs of the job flush_replies, one each 30 s, for which the segment has waited for the others.';
