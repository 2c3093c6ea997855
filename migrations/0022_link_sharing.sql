-- What the processes need to know of each other: links are shared out among those that want them, and a free lock says
-- something only about the run of the server to which the last heartbeat went. Both are empty for a process of an earlier
-- version, which claims and keeps links as before.
ALTER TABLE nodes ADD COLUMN wanted text[] NOT NULL DEFAULT '{}', ADD COLUMN server_started_at timestamptz;

COMMENT ON COLUMN nodes.wanted IS 'The links that it would hold; none while it stops.';
COMMENT ON COLUMN nodes.server_started_at IS 'When the server started to which its last heartbeat went: tells one run of a server from another, and a standby from the primary. Real time.';
