-- A reply that comes again within seconds is the same reply: its row says how often.
ALTER TABLE replies ADD COLUMN redelivered smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN replies.redelivered IS 'How often the SMSC has delivered it again within seconds; acknowledged, and not read again.';
CREATE TYPE redelivered_row AS (link text, source_addr text, destination_addr text, octets bytea, times integer);
