-- A receipt with the state UNKNOWN ends a text, but another receipt may follow and say what became of it.
ALTER TABLE sms ADD COLUMN delivery_unknown boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sms.delivery_unknown IS 'Whether the text is undeliverable by a receipt with the state UNKNOWN alone: a later receipt counts.';
ALTER TYPE settled_text_row ADD ATTRIBUTE delivery_unknown boolean;
