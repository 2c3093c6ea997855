-- The entries of a case are sorted when they are read: without seq the index keeps each case_id once, and is a third
-- of the size. Sealing waits while it is built; replies, texts and calls do not.
CREATE INDEX journal_by_case ON journal (case_id);
DROP INDEX journal_of_case;
ALTER INDEX journal_by_case RENAME TO journal_of_case;
