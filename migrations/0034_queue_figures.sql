-- How long the queues are, counted by a job: whoever asks for metrics has no more counted than a thousand rows of each.
CREATE TABLE queue_figures (
    queue     text COLLATE "C" NOT NULL
              CHECK (queue IN ('lookup', 'voucher', 'journal', 'statuses', 'sms', 'held')),
    link      text COLLATE "C" NOT NULL,
    priority  smallint NOT NULL,
    depth     bigint NOT NULL,
    since     timestamptz,
    PRIMARY KEY (queue, link, priority)
);
COMMENT ON TABLE queue_figures IS 'Depth of each queue when it was counted last: all rows are replaced by each count.';
COMMENT ON COLUMN queue_figures.queue IS 'lookup, voucher (calls), journal (to be sealed), statuses (to be pushed), sms (texts), held (cases with a held reply).';
COMMENT ON COLUMN queue_figures.link IS 'Of sms and held, the link; else empty.';
COMMENT ON COLUMN queue_figures.priority IS 'Of sms, as in sms; else 0.';
COMMENT ON COLUMN queue_figures.depth IS 'Number of rows, of cases for held; a million at most.';
COMMENT ON COLUMN queue_figures.since IS 'Since when the oldest row has waited, in business time; null for an empty queue and for held.';
