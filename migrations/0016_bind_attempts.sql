-- What a link that is not bound waits for: any process shows it, and ops ask the holder to try at once.
ALTER TABLE links
    ADD bind_failure text CHECK (length(bind_failure) <= 64),
    ADD next_bind_at timestamptz,
    ADD bind_requested boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN links.bind_failure IS 'Why the last attempt to bind failed or the last session ended: ESME_RBINDFAIL, unreachable, connection_lost. Null while all sessions are bound.';
COMMENT ON COLUMN links.next_bind_at IS 'When the process tries to bind again; in the past while it tries. Real time; null while all sessions are bound.';
COMMENT ON COLUMN links.bind_requested IS 'Whether ops want the process to try at once; it reads this with its heartbeat.';
