-- What fills the sentences of an alert, so that whoever reads it has it in each language. A process of the version
-- before writes neither column: it goes on.
ALTER TABLE alerts ADD sentences text[] NOT NULL DEFAULT '{}', ADD fields json NOT NULL DEFAULT '{}';
COMMENT ON COLUMN alerts.sentences IS 'Of which the text is made, by name (gateway/api/sentences.py); empty in rows of earlier versions.';
COMMENT ON COLUMN alerts.fields IS 'What is filled into the sentences, by name: strings and numbers, without personal data.';
