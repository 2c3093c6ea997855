-- A text is its template with the placeholders filled in. Where that gives the body octet for octet, which is checked
-- before the row is written, only what fills them is kept: a tenth of the body's size.
ALTER TABLE sms ADD COLUMN fields json CHECK (fields IS NULL OR body IS NULL);
ALTER TYPE text_row ADD ATTRIBUTE fields json;

CREATE FUNCTION filled_template(template_version text, fields json) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    filled text;
    field record;
BEGIN
    IF fields IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT body INTO filled FROM templates WHERE version = template_version;
    FOR field IN SELECT key, value FROM json_each_text(fields) LOOP
        filled := replace(filled, '{' || field.key || '}', field.value);
    END LOOP;
    RETURN filled;
END $$;

-- The texts of all time are made of them.
CREATE FUNCTION templates_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'templates are kept as they are: texts are made of them';
END $$;
CREATE TRIGGER templates_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON templates
    FOR EACH STATEMENT EXECUTE FUNCTION templates_append_only();

COMMENT ON COLUMN sms.body IS 'The exact text, where it is not its template with `fields` filled in; null once erased.';
COMMENT ON COLUMN sms.fields IS 'What fills the placeholders of the template, by name: filled_template gives the exact text. Null once erased.';
