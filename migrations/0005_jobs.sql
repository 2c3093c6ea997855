-- Jobs that one process does for the whole cluster: when each is due again, and who ran it last.
CREATE TABLE jobs (
    job     text COLLATE "C" PRIMARY KEY,
    due_at  timestamptz NOT NULL,
    node    text COLLATE "C" NOT NULL
);
