"""Delivery receipts: what an SMSC reports about a segment it accepted (SMPP 3.4 §5.2.12, §5.3.2.12, Appendix B).

Every vendor has its own receipt text. Appendix B shows an example:

    id:IIIIIIIIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DDDDDDD err:E text: . . .

Fields may be missing, in any order and any case. TLVs take precedence over the text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from smpplib import consts

from gateway.smpp.pdu import MAX_MESSAGE_ID_BYTES, ShortMessage, TlvTag

IdRelation = Literal["exact", "hex-to-dec", "dec-to-hex", "auto"]
"""How the receipt writes the message_id of the submit_sm_resp (configuration `links.message_id`)."""


class MessageState(StrEnum):
    """The state of a segment at the SMSC (SMPP 3.4 §5.2.28)."""

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    DELETED = "deleted"
    UNDELIVERABLE = "undeliverable"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    UNSTATED = "unstated"
    """The receipt has no state, or one that the specification does not define."""

    @property
    def final(self) -> bool:
        """Whether no other state can follow."""
        return self not in (MessageState.ENROUTE, MessageState.ACCEPTED, MessageState.UNSTATED)

    @property
    def delivered(self) -> bool:
        """Whether the handset has the segment."""
        return self is MessageState.DELIVERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an SMSC reports about the segment `message_id`, which is "" when the receipt has no id."""

    message_id: str
    state: MessageState
    error: str
    """As the operator writes it; "" when there is none."""
    intermediate: bool

    @property
    def final(self) -> bool:
        """Whether the outcome of the segment is known; an intermediate notification never is final (§5.2.12)."""
        return self.state.final and not self.intermediate


_MESSAGE_TYPE: Final = 0x3C  # bits 5–2 of esm_class, §5.2.12
_SMSC_RECEIPT: Final = 0x04
_INTERMEDIATE: Final = 0x20

_STATE_BY_NUMBER: Final = {
    consts.SMPP_MESSAGE_STATE_ENROUTE: MessageState.ENROUTE,
    consts.SMPP_MESSAGE_STATE_DELIVERED: MessageState.DELIVERED,
    consts.SMPP_MESSAGE_STATE_EXPIRED: MessageState.EXPIRED,
    consts.SMPP_MESSAGE_STATE_DELETED: MessageState.DELETED,
    consts.SMPP_MESSAGE_STATE_UNDELIVERABLE: MessageState.UNDELIVERABLE,
    consts.SMPP_MESSAGE_STATE_ACCEPTED: MessageState.ACCEPTED,
    consts.SMPP_MESSAGE_STATE_UNKNOWN: MessageState.UNKNOWN,
    consts.SMPP_MESSAGE_STATE_REJECTED: MessageState.REJECTED,
}
_STATE_PREFIX: Final = 5
# DELIVRD, EXPIRED, DELETED, UNDELIV, ACCEPTD, UNKNOWN, REJECTD (Appendix B), ENROUTE, and the unabridged words.
_STATE_BY_WORD: Final = {state.value[:_STATE_PREFIX]: state for state in _STATE_BY_NUMBER.values()}

_FIELD: Final = re.compile(
    r"(?<!\w)(?P<name>id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text)\s*:", re.IGNORECASE
)


def parse_receipt(sm: ShortMessage) -> Receipt | None:
    """The receipt that the message is, or None when it is a reply.

    esm_class or a receipted_message_id makes it a receipt, even when nothing else of it can be read.
    """
    message_type = sm.esm_class & _MESSAGE_TYPE
    tlv_id = _c_octet_string(sm.tlvs.get(TlvTag.RECEIPTED_MESSAGE_ID, b""))
    if not message_type & (_SMSC_RECEIPT | _INTERMEDIATE) and not tlv_id:
        return None
    fields = _fields(sm.payload)
    return Receipt(
        message_id=(tlv_id or fields.get("id", ""))[:MAX_MESSAGE_ID_BYTES],
        state=_state(sm.tlvs.get(TlvTag.MESSAGE_STATE, b""), fields.get("stat", "")),
        error=fields.get("err", "") or _network_error(sm.tlvs.get(TlvTag.NETWORK_ERROR_CODE, b"")),
        intermediate=bool(message_type & _INTERMEDIATE),
    )


def _fields(payload: bytes) -> dict[str, str]:
    """The first word of every field. Of a repeated field the first one counts: `text` may contain anything."""
    # Receipts are ASCII, whatever their data_coding. UCS-2 makes them ASCII with NULs between.
    text = payload.replace(b"\0", b"").decode("latin-1")
    found = list(_FIELD.finditer(text))
    ends = [match.start() for match in found] + [len(text)]
    fields: dict[str, str] = {}
    for match, end in zip(found, ends[1:], strict=True):
        value = text[match.end() : end].replace(",", " ").replace(";", " ").split()
        if value:
            fields.setdefault(match["name"].lower(), value[0])
    return fields


def _state(tlv: bytes, word: str) -> MessageState:
    return (
        _STATE_BY_NUMBER.get(int.from_bytes(tlv, "big"))
        or _STATE_BY_WORD.get(word[:_STATE_PREFIX].lower())
        or MessageState.UNSTATED
    )


def _network_error(tlv: bytes) -> str:
    """The error of network_error_code, after the octet for the type of network (§5.3.2.31)."""
    return str(int.from_bytes(tlv[1:], "big")) if len(tlv) == 3 else ""


def _c_octet_string(value: bytes) -> str:
    """A C-octet string, with or without its NUL."""
    return value.partition(b"\0")[0].decode("latin-1").strip()


_HEX: Final = re.compile(r"[0-9a-f]{1,16}")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")


def normalize_message_id(message_id: str) -> str:
    """The id in the form in which ids are compared: lower case, no leading zeros; "" only for an empty one."""
    folded = message_id.strip().lower()
    return folded.lstrip("0") or folded[:1]


def related_ids(message_id: str, relation: IdRelation) -> list[str]:
    """The normalized ids that a receipt may have for the message_id of a submit_sm_resp, the most likely first.

    hex-to-dec: the response is hexadecimal, the receipt decimal. dec-to-hex: the reverse. auto: unchanged, or
    either of them. An id that cannot be converted, such as a UUID, stays as it is.
    """
    own = normalize_message_id(message_id)
    found = []
    if relation in ("exact", "auto"):
        found.append(own)
    if relation in ("hex-to-dec", "auto") and _HEX.fullmatch(own):
        found.append(str(int(own, 16)))
    if relation in ("dec-to-hex", "auto") and _DECIMAL.fullmatch(own):
        found.append(f"{int(own):x}")
    return list(dict.fromkeys(found)) or [own]
