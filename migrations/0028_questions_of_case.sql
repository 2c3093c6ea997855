-- Erasure finds the questions of its cases; without an index it read all questions twice for each 500 cases.
CREATE INDEX questions_of_case ON questions (case_id);
