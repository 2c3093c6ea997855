-- Parked cases are looked for over all lists, page by page: ops have to see and release them.
CREATE INDEX cases_parked ON cases (list_id, case_id) WHERE state = 'parked';
