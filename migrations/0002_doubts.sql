-- Times in which a link's SMSC may not have heard that we have its replies: it may deliver them again. Real time.
CREATE TABLE doubts (
    link      text COLLATE "C" NOT NULL,
    began_at  timestamptz NOT NULL,
    ended_at  timestamptz NOT NULL
);

-- Questions need no longer wait until such a copy has surely come.
ALTER TABLE sms DROP COLUMN follows_reply;
