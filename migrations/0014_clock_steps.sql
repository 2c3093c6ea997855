-- Business time never runs backwards, whatever the clock of the server does.
ALTER TABLE clock ADD latest timestamptz;
ALTER TABLE clock ADD moved_back_at timestamptz;
COMMENT ON COLUMN clock.moved_back_at IS
    'When rows were last moved back with the clock of the server. Real time.';
COMMENT ON COLUMN clock.latest IS 'The latest real instant of business that a process has had; later ones start from it.';
