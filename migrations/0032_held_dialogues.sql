-- A reply by USSD is held like one by SMS; its digest, made again when somebody counts it, has the dialogue's session.
ALTER TABLE replies ADD COLUMN session text;
COMMENT ON COLUMN replies.session IS 'its_session_info of the USSD dialogue in hex; null for a reply by SMS, and for one from before this was kept.';
ALTER TYPE reply_row ADD ATTRIBUTE session text;
