-- Updates that write no index (HOT) need room on the page of their row, and no index with a column or a condition that
-- they change. All rows of a page are updated by one transaction, since they came with one: each needs room for a version.
ALTER TABLE sms SET (fillfactor = 40);
ALTER TABLE calls SET (fillfactor = 40);
ALTER TABLE questions SET (fillfactor = 50);
ALTER TABLE subscribers SET (fillfactor = 50);
-- A call is claimed by a change of its row. What is claimed is a few hundred rows at the front of the queue, and claims
-- skip them; by process they are looked for only after its end.
CREATE INDEX calls_due ON calls (kind, next_at);
DROP INDEX calls_ready, calls_taken;
-- Erasure knows the numbers of its cases, and by a number its question: the index by case cost each case a hundred octets
-- of WAL.
DROP INDEX questions_of_case;
