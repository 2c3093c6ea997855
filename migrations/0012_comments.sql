-- Comments on all tables and columns: docs/architecture/tables.md shows them.

COMMENT ON TABLE calls IS 'Queue of HTTP calls: a look-up in the MCB, a voucher from the wallet. A row is deleted in the transaction that writes its outcome.';
COMMENT ON COLUMN calls.case_id IS 'The case that the call is for.';
COMMENT ON COLUMN calls.kind IS 'lookup: the number of the current recipient, from the MCB. voucher: from the wallet.';
COMMENT ON COLUMN calls.attempts IS 'Calls that have failed so far.';
COMMENT ON COLUMN calls.next_at IS 'Not claimed before. Real time.';
COMMENT ON COLUMN calls.node IS 'The process that makes the call; null while nobody does.';
COMMENT ON COLUMN calls.serial IS 'Distinguishes this call from the next one of the same case and kind: a late outcome does not finish that one.';

COMMENT ON TABLE cases IS 'One pupil asked about: the state of the journey, and the record as SDU pushed it. Rows are never deleted; personal data is erased after privacy.keep_days.';
COMMENT ON COLUMN cases.case_id IS 'ULID.';
COMMENT ON COLUMN cases.list_id IS 'The list that the record came with.';
COMMENT ON COLUMN cases.record_id IS 'The id of the record within its list, as SDU pushed it.';
COMMENT ON COLUMN cases.service IS 'Code of the service: [services.CODE] in config.toml.';
COMMENT ON COLUMN cases.category IS 'Category of the pupil, 1 to 3, as SDU pushed it.';
COMMENT ON COLUMN cases.language IS 'Language of the texts: kk or ru.';
COMMENT ON COLUMN cases.pupil_iin IS 'The pupil''s IIN; a keyed hash once erased.';
COMMENT ON COLUMN cases.record IS 'Names and IINs as SDU pushed them: pupil, school, recipients in the order in which they are asked. Null once erased.';
COMMENT ON COLUMN cases.state IS 'State of the journey (gateway/consent/transitions.py).';
COMMENT ON COLUMN cases.resume IS 'The state in which a parked case continues once released; null for others.';
COMMENT ON COLUMN cases.position IS 'Index of the current recipient in record.recipients, from 0.';
COMMENT ON COLUMN cases.msisdn IS 'Number of the current recipient, once found; a keyed hash once erased.';
COMMENT ON COLUMN cases.operator IS 'Operator of the number as the MCB names it; null where it names none.';
COMMENT ON COLUMN cases.repeat IS 'The latest question text: 0 is the request, n the n-th repeat.';
COMMENT ON COLUMN cases.undelivered IS 'Bit n: question text n was reported undeliverable.';
COMMENT ON COLUMN cases.unreachable IS 'Number of recipients given up because their number did not work.';
COMMENT ON COLUMN cases.clarified IS 'The latest question text after which an unclear reply got a clarification; -1 for none.';
COMMENT ON COLUMN cases.reasked IS 'The latest question text after which a possible redelivery was answered with a clarification; -1 for none.';
COMMENT ON COLUMN cases.due_at IS 'When the next repeat, or the end, is due; null while a question text is on its way.';
COMMENT ON COLUMN cases.answered_at IS 'When the reply that counted was received.';
COMMENT ON COLUMN cases.evidence IS 'Digest of the reply that is the consent: sha256: and 64 hex digits.';
COMMENT ON COLUMN cases.voucher_id IS 'Id of the voucher that the wallet issued.';
COMMENT ON COLUMN cases.activated_at IS 'When the voucher was activated, as the wallet reports it.';
COMMENT ON COLUMN cases.used_at IS 'When the voucher was first used, as the wallet reports it.';
COMMENT ON COLUMN cases.opened_at IS 'When the case began.';
COMMENT ON COLUMN cases.ended_at IS 'When the case ended; null while it is open.';
COMMENT ON COLUMN cases.erased_at IS 'When its personal data was erased; null before.';

COMMENT ON TABLE clock IS 'Business time = origin + (real time - origin) * clock.rate. One row.';
COMMENT ON COLUMN clock.one IS 'Always true: the table has one row.';
COMMENT ON COLUMN clock.origin IS 'The instant of the first start. Real time.';

COMMENT ON TABLE dialogues IS 'USSD dialogues under way: whose question a handset shows. Real time.';
COMMENT ON COLUMN dialogues.link IS 'The link of the dialogue.';
COMMENT ON COLUMN dialogues.msisdn IS 'Number of the handset, which has one dialogue at a time.';
COMMENT ON COLUMN dialogues.session IS 'The SMSC''s session, from the TLV its_session_info.';
COMMENT ON COLUMN dialogues.service IS 'Code of the service whose menu is shown.';
COMMENT ON COLUMN dialogues.case_id IS 'The case whose question the menu shows; a reply in the dialogue counts for this case only.';
COMMENT ON COLUMN dialogues.menus IS 'How often the menu was shown.';
COMMENT ON COLUMN dialogues.expires_at IS 'After which a reply no longer belongs to the dialogue. Real time.';

COMMENT ON TABLE evidence_key IS 'Key of the hashes that stand in the journal, and in erased rows, in place of personal data. One row; without it no digest can be verified.';
COMMENT ON COLUMN evidence_key.one IS 'Always true: the table has one row.';
COMMENT ON COLUMN evidence_key.key IS '32 random octets. The key of a case is derived from it and the case_id.';

COMMENT ON TABLE feeds IS 'Readers to which statuses are pushed: how far each has accepted them.';
COMMENT ON COLUMN feeds.feed IS 'Name of the reader: sdu.';
COMMENT ON COLUMN feeds.seq IS 'journal.seq of the last status that the reader has accepted.';
COMMENT ON COLUMN feeds.node IS 'The process that pushes; null while none does.';

COMMENT ON TABLE jobs IS 'Scheduled jobs that one process runs for the whole cluster. Real time.';
COMMENT ON COLUMN jobs.job IS 'Name of the job (gateway/app.py, jobs_of).';
COMMENT ON COLUMN jobs.due_at IS 'When it is due again. Real time.';
COMMENT ON COLUMN jobs.node IS 'The process that ran it last, or is running it.';

COMMENT ON TABLE journal IS 'The journal: append-only (a trigger rejects changes), ordered by seq, hash-chained. Also the feed of statuses.';
COMMENT ON COLUMN journal.seq IS 'Place in the chain, from 1 without gaps; cursor of the feed.';
COMMENT ON COLUMN journal.at IS 'When the event happened.';
COMMENT ON COLUMN journal.case_id IS 'The case; null for an event of no case.';
COMMENT ON COLUMN journal.event IS 'Name of the event (gateway/consent/events.py, EventType).';
COMMENT ON COLUMN journal.event_id IS 'ULID under which the event is reported to SDU; null for events that are not reported.';
COMMENT ON COLUMN journal.detail IS 'Details of the event; digests in place of personal data.';
COMMENT ON COLUMN journal.hash IS 'SHA-256 of the previous entry''s hash and this entry (journal_entry, journal_link).';

COMMENT ON TABLE journal_pending IS 'Entries written by transactions and not yet sealed: the job seal moves them into the journal.';
COMMENT ON COLUMN journal_pending.id IS 'Order of insertion.';
COMMENT ON COLUMN journal_pending.at IS 'As in the journal.';
COMMENT ON COLUMN journal_pending.case_id IS 'As in the journal.';
COMMENT ON COLUMN journal_pending.event IS 'As in the journal.';
COMMENT ON COLUMN journal_pending.event_id IS 'As in the journal.';
COMMENT ON COLUMN journal_pending.detail IS 'As in the journal.';

COMMENT ON TABLE journal_tree IS 'Merkle tree over the hashes of the journal (RFC 9162): complete nodes of every 8th level. Append-only.';
COMMENT ON COLUMN journal_tree.level IS 'Level above the entries: 8, 16, 24 …';
COMMENT ON COLUMN journal_tree.position IS 'Place within the level, from 0. The node covers 1 << level entries, from seq = (position << level) + 1 on.';
COMMENT ON COLUMN journal_tree.hash IS 'Hash of the node.';

COMMENT ON TABLE links IS 'Links to operators, and the process that holds each. Real time.';
COMMENT ON COLUMN links.link IS 'Name of the link in config.toml.';
COMMENT ON COLUMN links.node IS 'The process that holds the link; null while none does.';
COMMENT ON COLUMN links.bound IS 'Number of SMPP sessions that are bound now.';
COMMENT ON COLUMN links.changed_at IS 'When bound, or the process, last changed. Real time.';
COMMENT ON COLUMN links.taken_at IS 'When the process claimed the link. Real time.';

COMMENT ON TABLE list_errors IS 'Records of lists that were rejected: one row for each field at fault.';
COMMENT ON COLUMN list_errors.list_id IS 'The list.';
COMMENT ON COLUMN list_errors.line IS 'Line of the body, from 1.';
COMMENT ON COLUMN list_errors.record_id IS 'Id of the record; null where it could not be read.';
COMMENT ON COLUMN list_errors.pointer IS 'JSON pointer to the field at fault; empty for the whole record.';
COMMENT ON COLUMN list_errors.code IS 'What is wrong: a code of the HTTP interface.';

COMMENT ON TABLE lists IS 'Recipient lists that were accepted. Rows are never deleted.';
COMMENT ON COLUMN lists.list_id IS 'Id that SDU has given the list.';
COMMENT ON COLUMN lists.service IS 'Code of the service that the list is for.';
COMMENT ON COLUMN lists.digest IS 'SHA-256 of the decoded body: the same list pushed again changes nothing.';
COMMENT ON COLUMN lists.records IS 'Number of records: accepted + duplicates + rejected.';
COMMENT ON COLUMN lists.accepted IS 'Records that became cases.';
COMMENT ON COLUMN lists.duplicates IS 'Records of pupils who have an open case, or a consent in this school year.';
COMMENT ON COLUMN lists.rejected IS 'Records with errors.';
COMMENT ON COLUMN lists.received_at IS 'When the list was accepted.';

COMMENT ON TABLE nodes IS 'Processes of the cluster. A process whose row was deleted (evicted) can write nothing more. Real time.';
COMMENT ON COLUMN nodes.node IS 'ULID of the process, new at each start.';
COMMENT ON COLUMN nodes.name IS 'gateway.node of its configuration.';
COMMENT ON COLUMN nodes.started_at IS 'When it joined. Real time.';
COMMENT ON COLUMN nodes.seen_at IS 'Its last heartbeat. Real time.';

COMMENT ON TABLE progress IS 'Number of cases of a list in each state, as a sum of deltas: transactions append, the job fold_progress sums them up.';
COMMENT ON COLUMN progress.list_id IS 'The list.';
COMMENT ON COLUMN progress.state IS 'A state of the journey.';
COMMENT ON COLUMN progress.cases IS 'Cases that entered (+) or left (-) the state.';

COMMENT ON TABLE questions IS 'The latest question of a service at a number: at most one is open. Other cases at the number wait.';
COMMENT ON COLUMN questions.service IS 'Code of the service.';
COMMENT ON COLUMN questions.msisdn IS 'The number.';
COMMENT ON COLUMN questions.case_id IS 'The case whose question it is, or was the last.';
COMMENT ON COLUMN questions.previous_case_id IS 'The case that was asked about before: a late or redelivered reply may belong to it.';
COMMENT ON COLUMN questions.open IS 'Whether the question is open; false: the number is free.';
COMMENT ON COLUMN questions.waiting IS 'Upper bound of the number of cases that wait for the number; 0: none waits.';

COMMENT ON TABLE receipts_expected IS 'Segments accepted by the SMSC whose delivery receipt has not come. Real time.';
COMMENT ON COLUMN receipts_expected.link IS 'The link that sent the segment.';
COMMENT ON COLUMN receipts_expected.key IS 'message_id as ids are compared: without leading zeros and in lower case (gateway/smpp/receipt.py).';
COMMENT ON COLUMN receipts_expected.message_id IS 'message_id of the submit_sm_resp, as the SMSC wrote it.';
COMMENT ON COLUMN receipts_expected.sms_id IS 'The text.';
COMMENT ON COLUMN receipts_expected.segment IS 'The segment, from 0.';
COMMENT ON COLUMN receipts_expected.expires_at IS 'After which the receipt is no longer expected: SMSCs reuse ids. Real time.';

COMMENT ON TABLE receipts_unmatched IS 'Final delivery receipts that came before the submit_sm_resp of their segment was written. Real time.';
COMMENT ON COLUMN receipts_unmatched.link IS 'The link that the receipt came by.';
COMMENT ON COLUMN receipts_unmatched.key IS 'A key that receipts_expected.key may have; one row for each candidate.';
COMMENT ON COLUMN receipts_unmatched.message_id IS 'message_id as the receipt has it.';
COMMENT ON COLUMN receipts_unmatched.state IS 'State of the message (SMPP 3.4 §5.2.28).';
COMMENT ON COLUMN receipts_unmatched.error IS 'Error code as the SMSC wrote it; empty for none.';
COMMENT ON COLUMN receipts_unmatched.expires_at IS 'After which the receipt is dropped. Real time.';

COMMENT ON TABLE replies IS 'Replies of parents as they were received: evidence.';
COMMENT ON COLUMN replies.reply_id IS 'Order of storage.';
COMMENT ON COLUMN replies.case_id IS 'The case that the reply belongs to; null for none.';
COMMENT ON COLUMN replies.link IS 'The link that it came by.';
COMMENT ON COLUMN replies.source_addr IS 'Sender: the MSISDN in canonical form, or as received where it is none; a keyed hash once erased.';
COMMENT ON COLUMN replies.destination_addr IS 'destination_addr as received.';
COMMENT ON COLUMN replies.octets IS 'Octets of the text without UDH, segments joined; null once erased.';
COMMENT ON COLUMN replies.data_coding IS 'data_coding as received.';
COMMENT ON COLUMN replies.smsc_time IS 'Time that the SMSC states, as received; empty for none.';
COMMENT ON COLUMN replies.verdict IS 'How the text was read: agree, refuse, unclear, other or empty.';
COMMENT ON COLUMN replies.normalised IS 'Whether the text was normalised before it could be read.';
COMMENT ON COLUMN replies.rule_version IS 'Version of the rules by which it was read.';
COMMENT ON COLUMN replies.received_at IS 'When it was received, in business time.';
COMMENT ON COLUMN replies.arrived_at IS 'The same in real time: redelivered replies are recognised by it.';

COMMENT ON TABLE reply_segments IS 'Segments of long replies, kept until they are stale, so that a redelivered one is recognised.';
COMMENT ON COLUMN reply_segments.link IS 'The link that the segment came by.';
COMMENT ON COLUMN reply_segments.source_addr IS 'Sender: the MSISDN in canonical form, or as received where it is none.';
COMMENT ON COLUMN reply_segments.destination_addr IS 'destination_addr as received.';
COMMENT ON COLUMN reply_segments.reference IS 'Concatenation reference.';
COMMENT ON COLUMN reply_segments.total IS 'Number of segments of the reply.';
COMMENT ON COLUMN reply_segments.number IS 'Number of this segment, from 1.';
COMMENT ON COLUMN reply_segments.octets IS 'Octets of the text, without the UDH.';
COMMENT ON COLUMN reply_segments.udh_octets IS 'Length of the UDH in octets.';
COMMENT ON COLUMN reply_segments.data_coding IS 'data_coding as received.';
COMMENT ON COLUMN reply_segments.smsc_time IS 'Time that the SMSC states, as received; empty for none.';
COMMENT ON COLUMN reply_segments.received_at IS 'When it was received, in business time.';
COMMENT ON COLUMN reply_segments.arrived_at IS 'The same in real time.';
COMMENT ON COLUMN reply_segments.joined IS 'Whether the reply was complete and was read.';

COMMENT ON TABLE schema_migrations IS 'Migrations that were applied to this database.';
COMMENT ON COLUMN schema_migrations.name IS 'File name without .sql.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file: a file that was changed afterwards stops the start.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied. Real time.';

COMMENT ON TABLE sms IS 'Texts and USSD screens: the queue of what is to be sent, and the evidence of what was sent.';
COMMENT ON COLUMN sms.sms_id IS 'Order of queueing.';
COMMENT ON COLUMN sms.case_id IS 'The case; null for a screen at a number that no case asks.';
COMMENT ON COLUMN sms.kind IS 'request, repeat, agreed, refused, clarify; USSD screens: menu, menu_agreed, menu_refused, menu_nothing, menu_invalid.';
COMMENT ON COLUMN sms.repeat IS 'Which question text: 0 is the request, n the n-th repeat.';
COMMENT ON COLUMN sms.link IS 'The link that sends it; that of the fallback link once that has claimed it.';
COMMENT ON COLUMN sms.msisdn IS 'Destination; a keyed hash once erased.';
COMMENT ON COLUMN sms.priority IS '0 is urgent: texts 2 and 3, clarifications, screens. 1 is bulk: requests and repeats.';
COMMENT ON COLUMN sms.template IS 'Version of the template that it was rendered from.';
COMMENT ON COLUMN sms.body IS 'The exact text; null once erased.';
COMMENT ON COLUMN sms.long_messages IS 'How it is cut into segments: udh8, udh16, sar or payload; ussd for a screen.';
COMMENT ON COLUMN sms.reference IS 'Concatenation reference, the same in every segment and whenever a segment is sent again.';
COMMENT ON COLUMN sms.segments IS 'Number of segments on the air.';
COMMENT ON COLUMN sms.state IS 'queued, sending, accepted (by the SMSC), delivered, undeliverable, refused (by the SMSC for good) or cancelled.';
COMMENT ON COLUMN sms.node IS 'The process that sends it; set exactly while the state is sending.';
COMMENT ON COLUMN sms.attempts IS 'How often it was claimed for sending.';
COMMENT ON COLUMN sms.accepted_segments IS 'Bit n: the SMSC has accepted segment n. It is not sent again.';
COMMENT ON COLUMN sms.delivered_segments IS 'Bit n: a receipt reports segment n as delivered.';
COMMENT ON COLUMN sms.tracked_segments IS 'Bit n: a receipt was requested for segment n.';
COMMENT ON COLUMN sms.message_ids IS 'The SMSC''s message_id of each segment, in order; null in it for a segment that was not accepted.';
COMMENT ON COLUMN sms.tlvs IS 'TLVs of a screen, encoded: its place in the USSD dialogue. Null for a text.';
COMMENT ON COLUMN sms.expires_at IS 'After which a screen is not sent. Real time; null for a text.';
COMMENT ON COLUMN sms.next_at IS 'Not claimed before. Real time.';
COMMENT ON COLUMN sms.created_at IS 'When it was queued.';
COMMENT ON COLUMN sms.accepted_at IS 'When the SMSC accepted the last segment.';

COMMENT ON TABLE subscribers IS 'Counter of concatenation references by number: two texts under way to a number never share one.';
COMMENT ON COLUMN subscribers.msisdn IS 'The number.';
COMMENT ON COLUMN subscribers.reference IS 'The reference given last, 0 to 65535.';

COMMENT ON TABLE templates IS 'Every template that was ever in use: shows that a text sent is the text approved.';
COMMENT ON COLUMN templates.version IS 'First 12 hex digits of the SHA-256 of the body: a changed template has another version.';
COMMENT ON COLUMN templates.service IS 'Code of the service.';
COMMENT ON COLUMN templates.name IS 'Name of the text: request, agreed …';
COMMENT ON COLUMN templates.language IS 'kk or ru.';
COMMENT ON COLUMN templates.body IS 'The template, with its placeholders.';

COMMENT ON TABLE unacknowledged_periods IS 'Periods in which our deliver_sm_resp may not have reached the SMSC of a link: it may deliver replies of such a period again. Real time.';
COMMENT ON COLUMN unacknowledged_periods.link IS 'The link.';
COMMENT ON COLUMN unacknowledged_periods.began_at IS 'Beginning of the period. Real time.';
COMMENT ON COLUMN unacknowledged_periods.ended_at IS 'End of the period; in the future while it lasts. Real time.';

COMMENT ON TABLE wallet_events IS 'Events that the wallet has reported: the same event_id again changes nothing.';
COMMENT ON COLUMN wallet_events.event_id IS 'Id that the wallet has given the event.';
COMMENT ON COLUMN wallet_events.case_id IS 'The case.';
COMMENT ON COLUMN wallet_events.type IS 'activated or used.';
COMMENT ON COLUMN wallet_events.at IS 'When it happened, as the wallet reports it.';
