-- The words of people and of the wallet may name somebody, and the journal is never erased: it has their digest, and the
-- words are kept beside it until the case is erased.
CREATE TABLE case_reasons (
    case_id  text COLLATE "C" NOT NULL REFERENCES cases,
    digest   text COLLATE "C" NOT NULL,
    reason   text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    PRIMARY KEY (case_id, digest)
);
COMMENT ON TABLE case_reasons IS 'Words of people and of the wallet about a case, of which the journal has the digest. Deleted with its personal data.';
COMMENT ON COLUMN case_reasons.case_id IS 'The case.';
COMMENT ON COLUMN case_reasons.digest IS 'Digest of the words under the key of the case, as in the detail of the journal''s entry.';
COMMENT ON COLUMN case_reasons.reason IS 'The words; IINs and numbers in them are masked.';
