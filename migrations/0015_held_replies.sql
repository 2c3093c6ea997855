-- A reply by a link that may not carry its number is held until ops count it (DECISIONS.md, 21).
ALTER TABLE replies ADD COLUMN held boolean NOT NULL DEFAULT false;
ALTER TYPE reply_row ADD ATTRIBUTE held boolean;
CREATE INDEX replies_held ON replies (case_id) WHERE held;
COMMENT ON COLUMN replies.held IS 'Whether it came by a link that may not carry the number: it counts only once ops have accepted it.';

ALTER TABLE cases ADD COLUMN held text CHECK (held IN ('agree', 'refuse'));
ALTER TYPE case_row ADD ATTRIBUTE held text;
CREATE INDEX cases_held ON cases (list_id, case_id) WHERE held IS NOT NULL;
COMMENT ON COLUMN cases.held IS 'Verdict of the held reply that ops may count; null for none.';
