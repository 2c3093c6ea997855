-- Small tables: their rows are read at once.
ALTER TABLE reply_figures ADD CONSTRAINT reply_figures_verdict
    CHECK (verdict IN ('agree', 'refuse', 'unclear', 'other', 'empty'));
ALTER TABLE stage_figures ADD CONSTRAINT stage_figures_stage CHECK (stage IN (
    'number_found', 'asked', 'delivered', 'consented', 'refused', 'no_answer', 'no_number', 'undeliverable',
    'cancelled', 'voucher_issued', 'voucher_rejected', 'voucher_activated', 'service_received'));
CREATE TYPE case_reason_row AS (case_id text, digest text, reason text);
CREATE TYPE tree_place_row AS (level smallint, "position" bigint);
