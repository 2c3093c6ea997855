-- Times in which a link's SMSC may not have heard that we have its replies: it may deliver them again. Real time.
CREATE TABLE doubts (
    link      text COLLATE "C" NOT NULL,
    began_at  timestamptz NOT NULL,
    ended_at  timestamptz NOT NULL
);

-- The latest question text of which an answer was in doubt, and the parent asked to give it again.
ALTER TABLE cases ADD COLUMN doubted smallint NOT NULL DEFAULT -1;

-- Questions need no longer wait until such a copy has surely come.
ALTER TABLE sms DROP COLUMN follows_reply;
