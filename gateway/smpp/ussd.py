"""USSD over SMPP: a dialogue on the telephone's screen, in deliver_sm and submit_sm (SMPP 3.4 §5.3.2.43–44).

=====================  ===  ==========  =====================================================
ussd_service_op             comes from  means here
=====================  ===  ==========  =====================================================
PSSD_INDICATION          0  SMSC        dialled on a telephone that can show, but not answer
PSSR_INDICATION          1  SMSC        dialled: opens a dialogue
USSR_REQUEST             2  us          a screen that asks; the dialogue goes on
PSSD_RESPONSE           16  us          the only screen after a PSSD_INDICATION
PSSR_RESPONSE           17  us          the last screen; the dialogue ends
USSR_CONFIRM            18  SMSC        what was typed at the screen that asks
ABORT                  129  SMSC        the telephone has left the dialogue
=====================  ===  ==========  =====================================================

Every screen carries the its_session_info of the message that it answers, as that came.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.smpp.pdu import Segment, ShortMessage, TlvTag, encode_tlv
from gateway.smpp.text import decode, encode

SERVICE_TYPE: Final = "USSD"
"""SMPP 3.4 §5.2.11."""

_SESSION_INFO_SIZE: Final = 2
MAX_SESSION_INFO_BYTES: Final = 255
"""Octets of a session's id that are echoed: the specification has two, vendors a few more."""
_GENERAL_CODING: Final = 0x40
_CODED_IN: Final = (0x00, 0x04, 0x08, 0x00)
_DIALLED: Final = re.compile(r"\*[0-9]+\*(?P<service>[0-9]+)(?:\*[^#]*)?#?")


class UssdOp(IntEnum):
    """The values of ussd_service_op; 129 is no part of the specification, but a common vendor's abort."""

    PSSD_INDICATION = 0
    PSSR_INDICATION = 1
    USSR_REQUEST = 2
    USSN_REQUEST = 3
    PSSD_RESPONSE = 16
    PSSR_RESPONSE = 17
    USSR_CONFIRM = 18
    USSN_CONFIRM = 19
    ABORT = 129


_KNOWN: Final = frozenset(UssdOp)


@dataclass(frozen=True, slots=True, kw_only=True)
class UssdMessage:
    """What the SMSC says of a dialogue. `op` is a UssdOp, or a vendor's own value."""

    op: int
    session_info: bytes
    """its_session_info as it came, empty when it did not."""
    octets: bytes
    data_coding: int

    @property
    def session(self) -> bytes:
        """What stays the same throughout a dialogue: the second octet counts its messages (§5.3.2.43)."""
        info = self.session_info
        return info[:1] if len(info) == _SESSION_INFO_SIZE else info

    def text(self, default_alphabet: str) -> str | None:
        """What was dialled or typed; None when the octets do not decode."""
        return decode(self.octets, _sms_coding(self.data_coding), default_alphabet)


def parse_ussd(sm: ShortMessage) -> UssdMessage | None:
    """The message's place in a dialogue; None when it is an SMS.

    An op that nobody knows, on a message of no session, is a TLV that strayed into an SMS: no reply is lost by it.
    """
    tlv = sm.tlvs.get(TlvTag.USSD_SERVICE_OP)
    if not tlv:
        return None
    op, session_info = tlv[-1], sm.tlvs.get(TlvTag.ITS_SESSION_INFO, b"")[:MAX_SESSION_INFO_BYTES]
    if op not in _KNOWN and not session_info:
        return None
    return UssdMessage(
        op=op,
        session_info=session_info,
        octets=sm.payload,
        data_coding=sm.data_coding,
    )


def dialled_service(text: str | None) -> str | None:
    """The service's code in ``*1414*3#``; None where none was dialled."""
    dialled = _DIALLED.fullmatch((text or "").strip())
    return dialled["service"] if dialled else None


def encode_screen_tlvs(op: UssdOp, session_info: bytes) -> bytes:
    """The encoded TLVs of a submit_sm that puts a screen into the dialogue."""
    session = encode_tlv(TlvTag.ITS_SESSION_INFO, session_info) if session_info else b""
    return encode_tlv(TlvTag.USSD_SERVICE_OP, bytes((op,))) + session


def encode_screen(text: str, tlvs: bytes) -> tuple[int, list[Segment]]:
    """(data_coding, the one segment) of a screen; it is never cut, and the SMSC packs it."""
    data_coding, octets = encode(text)
    return data_coding.value, [Segment(0, octets, tlvs)]


def _sms_coding(data_coding: int) -> int:
    """USSD has the data coding of cell broadcast (3GPP 23.038 §5): 0x48 is UCS-2 there."""
    if data_coding & 0xC0 == _GENERAL_CODING:
        return _CODED_IN[data_coding >> 2 & 0b11]
    return data_coding
