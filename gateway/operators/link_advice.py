"""What to try when an SMSC refuses a bind or a text, or sends no receipts: the keys of `[[links]]`. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from smpplib import consts

from gateway.config.links import RECEIPT_REQUESTS
from gateway.smpp import status
from gateway.smpp.pdu import ReceiptRequest
from gateway.smpp.receipt import MessageState, Receipt

_SOURCE: Final = "source, source_ton, source_npi"
_DESTINATION: Final = "dest_ton, dest_npi"
_WITHOUT_TLVS: Final = 'long_messages = "udh8", which needs no TLVs'

_OF_BIND: Final[Mapping[int, str]] = {
    consts.SMPP_ESME_RBINDFAIL: (
        "ask whether the operator denies this host or one more session, or still holds a stale bind; "
        "then try address_range, system_type, interface_version"
    ),
    consts.SMPP_ESME_RALYBND: "stop the gateway that is bound, let a stale bind end, or ask for more sessions",
    consts.SMPP_ESME_RINVPASWD: "try password",
    consts.SMPP_ESME_RINVSYSID: "try system_id",
    consts.SMPP_ESME_RINVSYSTYP: "try system_type",
    consts.SMPP_ESME_RINVCMDID: 'try bind = "transmitter+receiver", interface_version',
}
_OF_SUBMIT: Final[Mapping[int, str]] = {
    consts.SMPP_ESME_RINVSERTYP: "service_type",
    consts.SMPP_ESME_RINVSRCADR: _SOURCE,
    consts.SMPP_ESME_RINVSRCTON: _SOURCE,
    consts.SMPP_ESME_RINVSRCNPI: _SOURCE,
    consts.SMPP_ESME_RINVDSTADR: _DESTINATION,
    consts.SMPP_ESME_RINVDSTTON: _DESTINATION,
    consts.SMPP_ESME_RINVDSTNPI: _DESTINATION,
    consts.SMPP_ESME_RINVEXPIRY: "validity_period",
    consts.SMPP_ESME_RSUBMITFAIL: f"service_type, {_SOURCE}",
    consts.SMPP_ESME_RINVREGDLVFLG: "receipts",
    consts.SMPP_ESME_RINVESMCLASS: "long_messages",
    consts.SMPP_ESME_RINVMSGLEN: "long_messages",
    consts.SMPP_ESME_RINVOPTPARSTREAM: _WITHOUT_TLVS,
    consts.SMPP_ESME_ROPTPARNOTALLWD: _WITHOUT_TLVS,
    consts.SMPP_ESME_RINVPARLEN: _WITHOUT_TLVS,
    consts.SMPP_ESME_RTHROTTLED: "tps",
    consts.SMPP_ESME_RMSGQFUL: "window, tps",
}
_DEFER_STATUSES_TO_TRY: Final = (
    consts.SMPP_ESME_RX_T_APPN,
    consts.SMPP_ESME_RSYSERR,
    consts.SMPP_ESME_RMSGQFUL,
    consts.SMPP_ESME_RTHROTTLED,
)
_RECEIPTS_TO_TRY: Final = ("all", "first")


def on_bind_refusal(command_status: int) -> str | None:
    """What to do about a refused bind; None where the status says nothing."""
    return _OF_BIND.get(command_status)


def on_submit_refusals(statuses: Collection[int]) -> list[str]:
    """What to try for the refusals of texts, one line for each status."""
    known = [command_status for command_status in dict.fromkeys(statuses) if command_status in _OF_SUBMIT]
    return [f"{status.name(command_status)}: try {_OF_SUBMIT[command_status]}" for command_status in known]


def on_reply_to(destination: str, accepted: Collection[str]) -> str | None:
    """What to try for a reply to a number that the link does not accept; None where it does."""
    number = destination.removeprefix("+")
    if not accepted or number in accepted:
        return None
    return f'replies to {destination} count for nothing: add accept_destinations = ["{number}"]'


def on_lost_reply(defer_status: int) -> str:
    """What to try for a reply that did not come again after this status."""
    tries = ", then ".join(f"0x{each:02X}" for each in _DEFER_STATUSES_TO_TRY if each != defer_status)
    return f"the reply was not delivered again after {status.name(defer_status)}: try defer_status = {tries}"


def on_states(found: Sequence[Receipt]) -> list[str]:
    """What to try for the receipts of one segment, in order: words that are not known, UNKNOWN before another."""
    words = dict.fromkeys(receipt.unknown_state for receipt in found if receipt.unknown_state)
    advice = [f'a receipt says "{word}": ask what it means, and add it to receipt_states' for word in words]
    if any(receipt.state is MessageState.UNKNOWN for receipt in found[:-1]):
        advice.append('another receipt follows UNKNOWN: add receipt_states = { UNKNOWN = "enroute" }')
    return advice


def on_missing_receipts(requested: ReceiptRequest, texts: Sequence[str]) -> str:
    """What to try when no receipt came for these of the texts, although receipts were requested."""
    others = [each for each in _RECEIPTS_TO_TRY if each in RECEIPT_REQUESTS and each != requested]
    tries = [f'try receipts = "{each}"' for each in others]
    steps = ", then ".join([*tries, "ask the operator whether receipts are enabled"])
    return f"no receipt came for the {' and the '.join(texts)} text: {steps}"
