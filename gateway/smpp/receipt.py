"""Delivery receipts: what an SMSC reports about a segment it accepted (SMPP 3.4 §5.2.12, §5.3.2.12, Appendix B).

Every vendor has its own receipt text. Appendix B shows an example:

    id:IIIIIIIIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DDDDDDD err:E text: . . .

Fields may be missing, in any order and any case; `status`, `state`, `=` and quoted values occur as well. Some
vendors write the values alone, between commas. TLVs take precedence over the text. A text that is nothing but such
fields or values, an id and a state among them, is a receipt also without any other mark.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from smpplib import consts

from gateway.limits import (
    MAX_MESSAGE_ID_OCTETS,
    MAX_RECEIPT_ERROR_CHARACTERS,
    MAX_RECEIPT_OCTETS,
    cut,
)
from gateway.smpp.pdu import ShortMessage, TlvTag

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
    SCHEDULED = "scheduled"
    """The message waits for its delivery time (SMPP 5.0 §4.7.15)."""
    SKIPPED = "skipped"
    """The SMSC has left the message out (SMPP 5.0 §4.7.15)."""
    UNSTATED = "unstated"
    """The receipt has no state, or one that is not known."""

    @property
    def final(self) -> bool:
        """Whether no other state can follow."""
        return self not in _NOT_FINAL

    @property
    def delivered(self) -> bool:
        """Whether the handset has the segment."""
        return self is MessageState.DELIVERED


_NOT_FINAL: Final = frozenset(
    {MessageState.ENROUTE, MessageState.ACCEPTED, MessageState.SCHEDULED, MessageState.UNSTATED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an SMSC reports about the segment `message_id`, which is "" when the receipt has no id."""

    message_id: str
    state: MessageState
    error: str
    """The error as the operator writes it, in letters, digits, `.`, `_` and `-`; "" when there is none."""
    intermediate: bool
    unknown_state: str = ""
    """A state that is not known, as written; "" when there is none. At most MAX_STATE_LENGTH characters."""
    by_text: bool = False
    """Only its text makes it a receipt: a subscriber could have written it as well."""

    @property
    def final(self) -> bool:
        """Whether the outcome of the segment is known; an intermediate notification never is final (§5.2.12)."""
        return self.state.final and not self.intermediate


_MESSAGE_TYPE: Final = 0x3C  # bits 5–2 of esm_class, §5.2.12
_SMSC_RECEIPT: Final = 0x04
_INTERMEDIATE: Final = 0x20

NO_STATES: Final[Mapping[str, MessageState]] = MappingProxyType({})
MAX_STATE_LENGTH: Final = 20
"""Characters kept of a state that is not known."""

_STATE_BY_NUMBER: Final = {
    consts.SMPP_MESSAGE_STATE_ENROUTE: MessageState.ENROUTE,
    consts.SMPP_MESSAGE_STATE_DELIVERED: MessageState.DELIVERED,
    consts.SMPP_MESSAGE_STATE_EXPIRED: MessageState.EXPIRED,
    consts.SMPP_MESSAGE_STATE_DELETED: MessageState.DELETED,
    consts.SMPP_MESSAGE_STATE_UNDELIVERABLE: MessageState.UNDELIVERABLE,
    consts.SMPP_MESSAGE_STATE_ACCEPTED: MessageState.ACCEPTED,
    consts.SMPP_MESSAGE_STATE_UNKNOWN: MessageState.UNKNOWN,
    consts.SMPP_MESSAGE_STATE_REJECTED: MessageState.REJECTED,
    9: MessageState.SKIPPED,
}
_SCHEDULED: Final = b"\0"
"""message_state 0 (SMPP 5.0). It means nothing in SMPP 3.4, so that a state in the text takes precedence."""

# The states of Appendix B, abridged or not, and the words that vendors use instead, as letters alone.
_WORDS: Final = (
    (re.compile(r"deliv|deliv(er|r)?e?d.*|receive?d|read|displayed"), MessageState.DELIVERED),
    (
        re.compile(
            r"(un|not?|non)deliv.*|undel.*|deliver.*(fail|err).*|fail.*|err|error.*|sys(tem)?err.*"
            r"|barred.*|zerobal.*|(no|insuf[a-z]*)(cred|bal|fund).*"
        ),
        MessageState.UNDELIVERABLE,
    ),
    (re.compile(r"skip.*"), MessageState.SKIPPED),
    (re.compile(r"sched.*"), MessageState.SCHEDULED),
    (re.compile(r"enrou.*|buff.*"), MessageState.ENROUTE),
    (re.compile(r"expir.*"), MessageState.EXPIRED),
    (re.compile(r"delete.*"), MessageState.DELETED),
    (re.compile(r"accept.*|acke?d"), MessageState.ACCEPTED),
    (re.compile(r"unkno.*|null"), MessageState.UNKNOWN),
    (re.compile(r"rejec.*"), MessageState.REJECTED),
)
_NOT_A_LETTER: Final = re.compile(r"[^a-z]+")
_NOT_A_LETTER_OR_DIGIT: Final = re.compile(r"[^a-z0-9]+")

_NOT_IN_ERROR: Final = re.compile(r"[^0-9A-Za-z._-]")

_FIELD: Final = re.compile(
    r"(?<!\w)(?P<name>(?:(?:message|msg)[ _-]?)?(?:id|stat(?:us|e)?)|sub|dlvrd|submit[ _]?date|done[ _]?date|err"
    r"|text)[\"']?\s*[:=]",
    re.IGNORECASE,
)
_SEPARATORS: Final = " \t\r\n,;{}"
_WORD: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s,;\"']*)")

# What a text without any other mark has to look like. A value is one word; dates and fields of a vendor's own may
# follow it. A text of words in between is a subscriber's, and so is one with the sign of a reply, as in 3#1.
_MAX_MARKLESS_LENGTH: Final = 500
_MIN_MARKLESS_LENGTH: Final = 10  # ab1c,,,ERR
_MARKLESS_VALUE: Final = re.compile(
    r"""[\s,;{]*(?:"[^"#]*"|'[^'#]*'|[^\s,;"'#]*)"""
    # Possessive: a quotation mark may separate values or be part of one, so that n of them have 2**n readings.
    r"""(?:[\s,;}"']++(?:[0-9:.+-]++|[A-Za-z_]\w*+[:=][^\s,;#]*+))*+[\s,;}"']*+"""
)
_MARKLESS_ID: Final = re.compile(r"(?=.*[0-9])[0-9A-Za-z][0-9A-Za-z.:_-]*")
_MARKLESS_STATE: Final = re.compile(r"[A-Za-z][A-Za-z_ -]{2,19}")
_ANY_ID: Final = re.compile(r"[!-~]+")
_ANY_STATE: Final = re.compile(r"[A-Za-z][A-Za-z_ -]{2,19}|[0-9]{1,3}")
_FURTHER_FIELDS: Final = frozenset({"sub", "dlvrd", "submitdate", "donedate", "err"})


# Values without names: `7f01,77011234567,DELIVRD,2026-08-01 10:15,000`.
_BETWEEN_VALUES: Final = re.compile(r"\s*[,;|]\s*")
_MIN_MARKLESS_VALUES: Final = 4
_STATE_VALUE: Final = re.compile(r"[A-Z][A-Z_ -]{2,19}")
_DATE_VALUE: Final = re.compile(r"[0-9]{2,4}([-/.])[0-9]{1,2}\1[0-9]{2,4}.*|[0-9]{1,2}:[0-9]{2}.*")
_MIN_ID_VALUE_LENGTH: Final = 4
_NUMBER_DIGITS: Final = 10
"""The last digits of a subscriber's number, by which one is recognised."""


def parse_receipt(sm: ShortMessage, states: Mapping[str, MessageState] = NO_STATES) -> Receipt | None:
    """The receipt that the message is, or None when it is a reply.

    esm_class or a receipted_message_id makes it a receipt, even when nothing else of it can be read; else its text
    does. `states` are what the SMSC means by its words and numbers, by `state_key`.
    """
    message_type = sm.esm_class & _MESSAGE_TYPE
    tlv_id = _c_octet_string(sm.tlvs.get(TlvTag.RECEIPTED_MESSAGE_ID, b""))
    by_text = not message_type & (_SMSC_RECEIPT | _INTERMEDIATE) and not tlv_id
    # Receipts are ASCII, whatever their data_coding. UCS-2 makes them ASCII with NULs between.
    text = sm.payload[:MAX_RECEIPT_OCTETS].replace(b"\0", b"").decode("latin-1")
    if by_text and len(text) < _MIN_MARKLESS_LENGTH:
        return None
    values = _values(text, (sm.source.addr, sm.destination.addr), markless=by_text)
    if by_text and not values and not _is_receipt(text, states):
        return None
    fields = values or _fields(text)
    state, unknown_state = _state(sm.tlvs.get(TlvTag.MESSAGE_STATE, b""), _stated(fields), states)
    return Receipt(
        message_id=(tlv_id or _word(fields.get("id", "")))[:MAX_MESSAGE_ID_OCTETS],
        state=state,
        error=_error(fields.get("err", "")) or _network_error(sm.tlvs.get(TlvTag.NETWORK_ERROR_CODE, b"")),
        intermediate=bool(message_type & _INTERMEDIATE),
        unknown_state=unknown_state,
        by_text=by_text,
    )


def _is_receipt(text: str, states: Mapping[str, MessageState]) -> bool:
    """Whether a text alone makes a receipt: it is fields from its beginning, with an id and a state.

    Beside nothing but the id, a state has to be a word that is known, to us or to the link, or be in capitals.
    Where other fields of Appendix B stand beside them, no subscriber has written it: id and state may be any, and
    error and dates of several words.
    """
    first = _FIELD.search(text[:_MAX_MARKLESS_LENGTH])
    if first is None or text[: first.start()].strip(_SEPARATORS + "\"'"):
        return False
    fields = _fields(text, before_text=True)
    if sum(map(len, fields.values())) > _MAX_MARKLESS_LENGTH:
        return False
    message_id, state = _word(fields.get("id", "")), fields.get("stat", "").strip(_SEPARATORS + "\"'")
    has_further = bool(_FURTHER_FIELDS & fields.keys())
    one_word = {"id", "sub", "dlvrd"} if has_further else fields.keys() - {"stat"}
    if not all(_MARKLESS_VALUE.fullmatch(value) for name, value in fields.items() if name in one_word):
        return False
    if has_further:
        whole = "".join(fields.values())
        return bool("#" not in whole and _ANY_ID.fullmatch(message_id) and _ANY_STATE.fullmatch(state))
    is_known = _state_of_word(state) is not None
    is_id = _ANY_ID if is_known and _STATE_VALUE.fullmatch(state) else _MARKLESS_ID
    is_state = is_known or state_key(state) in states or _STATE_VALUE.fullmatch(state)
    return bool(is_id.fullmatch(message_id) and _MARKLESS_STATE.fullmatch(state) and is_state)


def _fields(text: str, *, before_text: bool = False) -> dict[str, str]:
    """The value of every field that has one. Of a repeated field the first one counts: `text` may hold anything.

    With `before_text`, only the fields before `text`.
    """
    found = list(_FIELD.finditer(text))
    ends = [match.start() for match in found] + [len(text)]
    fields: dict[str, str] = {}
    for match, end in zip(found, ends[1:], strict=True):
        name = _NOT_A_LETTER.sub("", match["name"].lower())
        name = "stat" if "stat" in name else "id" if name.endswith("id") else name
        if name == "text" and before_text:
            break
        if value := text[match.end() : end].strip(_SEPARATORS):
            fields.setdefault(name, value)
    return fields


def _values(text: str, numbers: Collection[str], *, markless: bool) -> dict[str, str]:
    """Id, state and error of a text that is nothing but values between commas; empty for any other text.

    The id is the first value with a digit that is long enough, and neither one of the `numbers` nor a date; the
    error is the value behind the state. `markless`: nothing but the text shows that it is a receipt.
    """
    values = _BETWEEN_VALUES.split(text.strip(_SEPARATORS)) if len(text) <= _MAX_MARKLESS_LENGTH else []
    stated = [n for n, value in enumerate(values) if _STATE_VALUE.fullmatch(value) and _state_of_word(value)]
    if len(stated) != 1 or (markless and len(values) < _MIN_MARKLESS_VALUES) or _FIELD.search(text):
        return {}
    ids = [
        value
        for value in values
        if len(value) >= _MIN_ID_VALUE_LENGTH
        and _MARKLESS_ID.fullmatch(value)
        and not _DATE_VALUE.fullmatch(value)
        and not any(_same_number(value, number) for number in numbers)
    ]
    if not ids or "#" in text:
        return {}
    behind = values[stated[0] + 1] if stated[0] + 1 < len(values) else ""
    error = behind if behind != ids[0] and len(behind) < _MIN_ID_VALUE_LENGTH else ""
    return {"id": ids[0], "stat": values[stated[0]], "err": error}


def _same_number(value: str, number: str) -> bool:
    """Whether both are one subscriber's number, with or without its country code."""
    digits = number.lstrip("+")[-_NUMBER_DIGITS:]
    return value.isdigit() and len(digits) == _NUMBER_DIGITS and value.endswith(digits)


def _stated(fields: Mapping[str, str]) -> str:
    """The value of `stat`; where that name is missing, a state that stands alone behind another field's value."""
    if "stat" in fields:
        return fields["stat"]
    behind = (word for name, value in fields.items() if name != "text" for word in value.split()[1:])
    return next((word for word in behind if _STATE_VALUE.fullmatch(word) and _state_of_word(word)), "")


def _word(value: str) -> str:
    """The first word of a value, without its quotes."""
    match = _WORD.match(value)
    return "" if match is None else next((word for word in match.groups() if word), "").strip()


def _state(tlv: bytes, value: str, states: Mapping[str, MessageState]) -> tuple[MessageState, str]:
    """The state, of message_state or else of the text; and the state as written, when it is not known."""
    if states and (meant := _meant(tlv, value, states)) is not None:
        return meant, ""
    state = (
        _STATE_BY_NUMBER.get(int.from_bytes(tlv, "big")) or _state_of_word(value) or _state_of_word(_word(value))
    )
    if state is not None:
        return state, ""
    if tlv == _SCHEDULED:
        return MessageState.SCHEDULED, ""
    return MessageState.UNSTATED, (_word(value) or (str(int.from_bytes(tlv[:4], "big")) if tlv else ""))[
        :MAX_STATE_LENGTH
    ]


def _meant(tlv: bytes, value: str, states: Mapping[str, MessageState]) -> MessageState | None:
    """The state that the link's table has for the number of message_state, its name, or else the word."""
    number = int.from_bytes(tlv[:4], "big")
    known = _STATE_BY_NUMBER.get(number) if tlv else None
    keys = [str(number), known.value if known else ""] if tlv else []
    if known is None:
        keys += [state_key(value), state_key(_word(value))]
    return next((states[key] for key in keys if key in states), None)


def state_key(word: str) -> str:
    """The word as the tables of states have it: in lower case, letters and digits alone."""
    return _NOT_A_LETTER_OR_DIGIT.sub("", word.lower())


def _state_of_word(value: str) -> MessageState | None:
    letters = _NOT_A_LETTER.sub("", value.lower())
    return next((state for words, state in _WORDS if words.fullmatch(letters)), None)


def _error(value: str) -> str:
    """The error code; it is kept for ever, so that no text of a subscriber may pass for one."""
    return cut(_NOT_IN_ERROR.sub("?", _word(value)), MAX_RECEIPT_ERROR_CHARACTERS)


def _network_error(tlv: bytes) -> str:
    """The error of network_error_code, after the octet for the type of network (§5.3.2.31)."""
    return str(int.from_bytes(tlv[1:], "big")) if len(tlv) == 3 else ""


def _c_octet_string(value: bytes) -> str:
    """A C-octet string, with or without its NUL."""
    return value.partition(b"\0")[0].decode("latin-1").strip()


_HEX: Final = re.compile(r"[0-9a-f]{1,16}")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_ZEROS_AND_SPACES: Final = "0" + "".join(filter(str.isspace, map(chr, range(256))))


def normalize_message_id(message_id: str) -> str:
    """The id in the form in which ids are compared: lower case, no leading zeros; "" only for an empty one."""
    folded = message_id.strip().lower()
    return folded.lstrip(_ZEROS_AND_SPACES) or folded[:1]


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
