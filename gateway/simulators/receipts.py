"""Delivery receipts as operators send them (SMPP 3.4 §5.2.28, §5.3.2.12, §5.3.2.35, appendix B)."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from smpplib import consts

from gateway.simulators.settings import with_words
from gateway.simulators.submission import Submitted

RECEIPT = 0x04
INTERMEDIATE = 0x20

STATES: dict[str, tuple[str, int, str]] = {
    "enroute": ("ENROUTE", consts.SMPP_MESSAGE_STATE_ENROUTE, "000"),
    "delivered": ("DELIVRD", consts.SMPP_MESSAGE_STATE_DELIVERED, "000"),
    "expired": ("EXPIRED", consts.SMPP_MESSAGE_STATE_EXPIRED, "027"),
    "deleted": ("DELETED", consts.SMPP_MESSAGE_STATE_DELETED, "000"),
    "undeliverable": ("UNDELIV", consts.SMPP_MESSAGE_STATE_UNDELIVERABLE, "001"),
    "accepted": ("ACCEPTD", consts.SMPP_MESSAGE_STATE_ACCEPTED, "000"),
    "unknown": ("UNKNOWN", consts.SMPP_MESSAGE_STATE_UNKNOWN, "000"),
    "rejected": ("REJECTD", consts.SMPP_MESSAGE_STATE_REJECTED, "008"),
}
"""Outcome → stat of the text, message_state, err of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """When and how the SMSC sends a receipt for a segment that requests one."""

    outcome: str = "delivered"
    """A key of STATES, or "none"."""
    to: str = "*"
    delay: float = 0.0
    """Seconds after the response."""
    before_response: bool = False
    """The receipt is sent before the submit_sm_resp."""
    times: int = 1
    intermediate: bool = False
    """An intermediate notification is sent first."""
    id_form: str = "same"
    """The message_id: same as in the response, or dec, hex, padded (ten digits), upper (upper-case hex)."""
    form: str = "both"
    """text, tlvs or both."""

    @classmethod
    def parse(cls, line: str) -> "Receipts":
        """A policy from `undeliverable to=7702* delay=0.5 id_form=hex`; ValueError names what is wrong."""
        outcome, _, words = line.strip().partition(" ")
        policy = with_words(cls(outcome=outcome), words, "a receipt")
        if policy.outcome not in STATES and policy.outcome != "none":
            raise ValueError(f"no such outcome: {policy.outcome}; there are none, {', '.join(STATES)}")
        return policy

    @property
    def failure(self) -> bool:
        return self.outcome not in ("delivered", "none")


def policies(receipts: Receipts | str | Iterable[Receipts | str]) -> list[Receipts]:
    """The policies, each given as Receipts or as its line; the first whose `to` matches applies."""
    if isinstance(receipts, Receipts | str):
        receipts = [receipts]
    return [Receipts.parse(policy) if isinstance(policy, str) else policy for policy in receipts]


def policy_for(submit: Submitted, choices: Iterable[Receipts]) -> Receipts | None:
    """The policy that applies to a segment, if it requests such a receipt (registered_delivery, §5.2.17)."""
    for policy in choices:
        if fnmatchcase(submit.destination, policy.to):
            requested = submit.registered_delivery & consts.SMPP_SMSC_DELIVERY_RECEIPT_BITMASK
            due = requested == consts.SMPP_SMSC_DELIVERY_RECEIPT_BOTH or (
                requested == consts.SMPP_SMSC_DELIVERY_RECEIPT_FAILURE and policy.failure
            )
            return policy if due and policy.outcome != "none" else None
    return None


def outcome_for(submit: Submitted, choices: Iterable[Receipts]) -> str:
    """What becomes of a segment, whether it requests a receipt or not."""
    outcome = next((policy.outcome for policy in choices if fnmatchcase(submit.destination, policy.to)), "none")
    return "delivered" if outcome == "none" else outcome


def id_in_form(submit: Submitted, form: str) -> str:
    """The message_id of the response in a receipt's form; ValueError on an unknown form."""
    match form:
        case "same":
            return submit.message_id
        case "dec":
            return str(submit.serial)
        case "hex":
            return f"{submit.serial:x}"
        case "upper":
            return f"{submit.serial:X}"
        case "padded":
            return f"{submit.serial:010d}"
        case _:
            raise ValueError(f"no such form of a message_id: {form}")
