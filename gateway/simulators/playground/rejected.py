"""What the visitor tried and cannot be done."""

from enum import StrEnum


class Rejection(StrEnum):
    """Why; the page has a sentence for each, in its languages."""

    NO_FAMILIES = "no_families"
    NO_TELEPHONE = "no_telephone"
    NO_DIALOGUE = "no_dialogue"
    NO_VOUCHER = "no_voucher"
    NO_MEAL = "no_meal"
    ALREADY_ACTIVE = "already_active"
    ALREADY_RATED = "already_rated"
    NOT_ACTIVE = "not_active"
    OPERATOR_BROKEN = "operator_broken"
    WALLET_BROKEN = "wallet_broken"
    NOT_BOUND = "not_bound"
    GATEWAY_SILENT = "gateway_silent"
    EVENT_REJECTED = "event_rejected"
    LIST_REJECTED = "list_rejected"
    FAILED = "failed"


class RejectedAct(Exception):
    """`fields` are what the sentence of this rejection names."""

    def __init__(self, rejection: Rejection, **fields: str) -> None:
        super().__init__(": ".join([rejection.replace("_", " "), *fields.values()]))
        self.rejection, self.fields = rejection, fields
