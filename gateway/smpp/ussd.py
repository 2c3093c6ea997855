"""USSD over SMPP: a dialogue on the handset's screen, in deliver_sm and submit_sm (SMPP 3.4 §5.3.2.43–44).

================  =====  =======  ==========================================================
ussd_service_op   value  sent by  meaning here
================  =====  =======  ==========================================================
PSSD_INDICATION       0  SMSC     a code was dialled on a handset that cannot send a reply
PSSR_INDICATION       1  SMSC     a code was dialled: opens a dialogue
USSR_REQUEST          2  ESME     a screen with a question; the dialogue continues
PSSD_RESPONSE        16  ESME     the only screen after a PSSD_INDICATION
PSSR_RESPONSE        17  ESME     the last screen; the dialogue ends
USSR_CONFIRM         18  SMSC     what was typed at a USSR_REQUEST
ABORT               129  SMSC     the subscriber or the network ended the dialogue
================  =====  =======  ==========================================================

Every screen repeats the its_session_info of the message that it responds to, unchanged.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.smpp.pdu import Segment, ShortMessage, TlvTag, encode_tlv
from gateway.smpp.text import decode_text, encode

SERVICE_TYPE: Final = "USSD"
"""The service_type of USSD (SMPP 3.4 §5.2.11)."""

MAX_SESSION_INFO_BYTES: Final = 255
"""its_session_info beyond this is cut. §5.3.2.43 has two octets; vendors send a few more."""

_SESSION_INFO_BYTES: Final = 2
_GENERAL_GROUPS_MASK: Final = 0xC0
_GENERAL_GROUPS: Final = 0x40
_SMS_CODINGS: Final = (0x00, 0x04, 0x08, 0x00)
"""SMPP's data_coding for bits 3–2 of a cell broadcast coding: default alphabet, 8-bit data, UCS-2, reserved."""
_DIALLED: Final = re.compile(r"\*[0-9]+\*(?P<service>[0-9]+)(?:\*[^#]*)?#?")


class UssdOp(IntEnum):
    """The values of ussd_service_op (§5.3.2.44). 129 is a common vendor's abort, not part of the specification."""

    PSSD_INDICATION = 0
    PSSR_INDICATION = 1
    USSR_REQUEST = 2
    USSN_REQUEST = 3
    PSSD_RESPONSE = 16
    PSSR_RESPONSE = 17
    USSR_CONFIRM = 18
    USSN_CONFIRM = 19
    ABORT = 129


_FROM_SUBSCRIBERS: Final = frozenset(
    {UssdOp.PSSD_INDICATION, UssdOp.PSSR_INDICATION, UssdOp.USSR_CONFIRM, UssdOp.ABORT}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UssdMessage:
    """A deliver_sm that belongs to a dialogue."""

    op: UssdOp
    session_info: bytes
    """its_session_info as received; empty without the TLV."""
    octets: bytes
    data_coding: int

    @property
    def session(self) -> bytes:
        """The id of the dialogue: its_session_info without the octet that counts its messages (§5.3.2.43)."""
        info = self.session_info
        return info[:1] if len(info) == _SESSION_INFO_BYTES else info

    def text(self, default_alphabet: str) -> str | None:
        """What was dialled or typed; None when the octets do not decode."""
        return decode_text(self.octets, _sms_coding(self.data_coding), default_alphabet)


def parse_ussd(sm: ShortMessage) -> UssdMessage | None:
    """The message as part of a dialogue; None when it is an SMS.

    An op that no subscriber causes is a misplaced TLV: the message is an SMS, so that no reply is lost.
    """
    tlv = sm.tlvs.get(TlvTag.USSD_SERVICE_OP)
    if not tlv or tlv[-1] not in _FROM_SUBSCRIBERS:
        return None
    return UssdMessage(
        op=UssdOp(tlv[-1]),
        session_info=sm.tlvs.get(TlvTag.ITS_SESSION_INFO, b"")[:MAX_SESSION_INFO_BYTES],
        octets=sm.payload,
        data_coding=sm.data_coding,
    )


def dialled_service(text: str | None) -> str | None:
    """The service's code in ``*1414*3#``; None when there is none."""
    dialled = _DIALLED.fullmatch((text or "").strip())
    return dialled["service"] if dialled else None


def encode_screen_tlvs(op: UssdOp, session_info: bytes) -> bytes:
    """The TLVs of a submit_sm that shows a screen within the dialogue of `session_info`."""
    session = encode_tlv(TlvTag.ITS_SESSION_INFO, session_info) if session_info else b""
    return encode_tlv(TlvTag.USSD_SERVICE_OP, bytes((op,))) + session


def encode_screen(text: str, tlvs: bytes) -> tuple[int, list[Segment]]:
    """(data_coding, the one segment) of a screen. It is never split, and the SMSC packs its septets."""
    data_coding, octets = encode(text)
    return data_coding.value, [Segment(0, octets, tlvs)]


def _sms_coding(data_coding: int) -> int:
    """SMPP's coding for the cell broadcast coding that USSD uses (3GPP 23.038 §5), where 0x48 is UCS-2."""
    if data_coding & _GENERAL_GROUPS_MASK == _GENERAL_GROUPS:
        return _SMS_CODINGS[data_coding >> 2 & 0b11]
    return data_coding
