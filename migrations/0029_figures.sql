-- Figures for the console, counted from the journal by a job that follows it: no transaction of a case writes them.
CREATE TABLE figures_cursor (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq  bigint NOT NULL DEFAULT 0
);
INSERT INTO figures_cursor DEFAULT VALUES;
CREATE TABLE stage_figures (
    list_id  text COLLATE "C" NOT NULL,
    stage    text COLLATE "C" NOT NULL,
    cases    integer NOT NULL,
    PRIMARY KEY (list_id, stage)
);
CREATE TABLE reply_figures (
    hour     timestamptz NOT NULL,
    list_id  text COLLATE "C" NOT NULL,
    verdict  text COLLATE "C" NOT NULL,
    replies  integer NOT NULL,
    PRIMARY KEY (hour, list_id, verdict)
);
CREATE TABLE segment_figures (
    minute    timestamptz NOT NULL,
    link      text COLLATE "C" NOT NULL,
    segments  integer NOT NULL,
    PRIMARY KEY (minute, link)
);

-- What the console has alerted of: each process notes what it sees, and one that nobody sees any more has ended.
CREATE TABLE alerts (
    alert_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code      text COLLATE "C" NOT NULL,
    about     text COLLATE "C" NOT NULL,
    level     text COLLATE "C" NOT NULL CHECK (level IN ('critical', 'warning')),
    text      text NOT NULL,
    began_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at  timestamptz
);
CREATE UNIQUE INDEX alerts_open ON alerts (code, about) WHERE ended_at IS NULL;
CREATE INDEX alerts_latest ON alerts (began_at);

COMMENT ON TABLE figures_cursor IS 'How far the figures have been counted. One row.';
COMMENT ON COLUMN figures_cursor.one IS 'The only row.';
COMMENT ON COLUMN figures_cursor.seq IS 'journal.seq of the last entry that was counted.';
COMMENT ON TABLE stage_figures IS 'How many cases of a list have reached each stage. Each case counts once for a stage.';
COMMENT ON COLUMN stage_figures.list_id IS 'The list.';
COMMENT ON COLUMN stage_figures.stage IS 'The event by which a case reaches it (gateway/store/figures.py, STAGES).';
COMMENT ON COLUMN stage_figures.cases IS 'Cases with such an event.';
COMMENT ON TABLE reply_figures IS 'Replies read in each hour. Rows are deleted after a month.';
COMMENT ON COLUMN reply_figures.hour IS 'Begin of the hour, in UTC.';
COMMENT ON COLUMN reply_figures.list_id IS 'The list of the case; empty for replies to no case.';
COMMENT ON COLUMN reply_figures.verdict IS 'As in the journal: agree, refuse, unclear, other, empty.';
COMMENT ON COLUMN reply_figures.replies IS 'Number of replies.';
COMMENT ON TABLE segment_figures IS 'Segments of the texts that the SMSCs accepted in each minute. Rows are deleted after a month.';
COMMENT ON COLUMN segment_figures.minute IS 'Begin of the minute in which the last segment of a text was accepted.';
COMMENT ON COLUMN segment_figures.link IS 'The link that sent them.';
COMMENT ON COLUMN segment_figures.segments IS 'Number of segments.';
COMMENT ON TABLE alerts IS 'Alerts with begin and end. Ended ones are deleted after three months.';
COMMENT ON COLUMN alerts.alert_id IS 'Order in which they were first seen.';
COMMENT ON COLUMN alerts.code IS 'What is wrong (gateway/api/alerts.py, Code).';
COMMENT ON COLUMN alerts.about IS 'The link, partner or queue that it is about; empty for the gateway as a whole.';
COMMENT ON COLUMN alerts.level IS 'critical or warning: the last that was seen.';
COMMENT ON COLUMN alerts.text IS 'The last sentence that was seen; without personal data.';
COMMENT ON COLUMN alerts.began_at IS 'When it was first seen. Real time.';
COMMENT ON COLUMN alerts.seen_at IS 'When a process last saw it. Real time.';
COMMENT ON COLUMN alerts.ended_at IS 'When a process saw it last, once none sees it any more; null while it lasts. Real time.';
