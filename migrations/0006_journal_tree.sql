-- A Merkle tree over the journal's hashes (RFC 9162): every 8th level of it, complete nodes only. Node `position` of
-- `level` stands over the entries seq = position << level + 1 and on, 1 << level of them.
CREATE TABLE journal_tree (
    level     smallint,
    position  bigint,
    hash      bytea NOT NULL,
    PRIMARY KEY (level, position)
);
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_tree
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();
