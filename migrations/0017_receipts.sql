-- A receipt is also about a number. One that only its text makes a receipt belongs to a text to that number alone; one
-- for any segment's id belongs to the text to that number which has the segment.
ALTER TABLE receipts_unmatched
    ADD COLUMN msisdn text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN by_text boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT receipts_unmatched_state,
    ADD CONSTRAINT receipts_unmatched_state CHECK (state IN (
        'enroute', 'delivered', 'expired', 'deleted', 'undeliverable', 'accepted', 'unknown', 'rejected', 'scheduled',
        'skipped', 'unstated'));
ALTER TYPE receipt_key_row ADD ATTRIBUTE msisdn text, ADD ATTRIBUTE by_text boolean;
ALTER TYPE unmatched_receipt_row ADD ATTRIBUTE msisdn text, ADD ATTRIBUTE by_text boolean;

-- What receipts have shown about the message_ids of a link: `message_id = "auto"`.
CREATE TABLE id_relations (
    link        text COLLATE "C" PRIMARY KEY,
    exact       bigint NOT NULL DEFAULT 0,
    hex_to_dec  bigint NOT NULL DEFAULT 0,
    dec_to_hex  bigint NOT NULL DEFAULT 0,
    relation    text CONSTRAINT id_relations_relation CHECK (relation IN ('exact', 'hex-to-dec', 'dec-to-hex'))
);
CREATE TYPE id_vote_row AS (link text, exact bigint, hex_to_dec bigint, dec_to_hex bigint);

COMMENT ON COLUMN receipts_unmatched.msisdn IS 'The number that the receipt is about; empty for none.';
COMMENT ON COLUMN receipts_unmatched.by_text IS 'Only its text makes it a receipt: the text must have gone to this number.';
COMMENT ON TABLE id_relations IS 'How receipts write the message_ids of a link with message_id = "auto" (gateway/smpp/relation.py).';
COMMENT ON COLUMN id_relations.link IS 'The link.';
COMMENT ON COLUMN id_relations.exact IS 'Receipts that have shown the id unchanged.';
COMMENT ON COLUMN id_relations.hex_to_dec IS 'Receipts that have shown a hexadecimal id in decimal.';
COMMENT ON COLUMN id_relations.dec_to_hex IS 'Receipts that have shown a decimal id in hexadecimal.';
COMMENT ON COLUMN id_relations.relation IS 'The relation decided, by which receipts are matched from then on; NULL: not yet.';
