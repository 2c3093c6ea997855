"""The rules for any text of a receipt: its fields fit their columns, and no reply of a parent is one."""

import re
from typing import Final

from gateway.consent.reply import read_reply
from gateway.limits import MAX_RECEIPT_ERROR_CHARACTERS, MAX_RECEIPT_OCTETS
from gateway.smpp.pdu import Address, CommandId, ShortMessage, TlvTag
from gateway.smpp.receipt import MAX_STATE_LENGTH, parse_receipt
from tests.fuzz.replies import ANSWERS, LENIENT
from tests.smpp.fuzz_target import is_storable

WORDS: Final = (
    b"id:", b"sub:001 ", b"dlvrd:001 ", b"submit date:", b"done date:", b"stat:", b"status=", b"state:",
    b"err:", b"text:", b"message id:", b"msg_id=", b"DELIVRD", b"UNDELIV", b"ENROUTE", b"FAILED",
    b"not delivered", b"2611281200", b"'", b'"', b";", b"{", b"}", b"=", b" : ", b"\0", b"\n", b"3#1", b"0",
    b"870312497005", b"77011234567", b"\xff",
)  # fmt: skip
_ERROR: Final = re.compile(r"[0-9A-Za-z._?-]*…?")
_ESM_CLASSES: Final = {"none": 0x00, "receipt": 0x04, "intermediate": 0x20}


def probe(octets: bytes) -> None:
    """Parses the octets as the text of a message with each esm_class, and with TLVs made of the same octets."""
    text = octets[:MAX_RECEIPT_OCTETS].decode("latin-1")
    for name, esm_class in _ESM_CLASSES.items():
        for tlvs in ({}, _tlvs(octets)):
            receipt = parse_receipt(_message(octets, esm_class, tlvs))
            assert parse_receipt(_message(octets[:MAX_RECEIPT_OCTETS], esm_class, tlvs)) == receipt, (
                "reads too far"
            )
            if receipt is None:
                assert name == "none"
                continue
            is_storable(receipt)
            assert len(receipt.error) <= MAX_RECEIPT_ERROR_CHARACTERS
            assert _ERROR.fullmatch(receipt.error)
            assert len(receipt.unknown_state) <= MAX_STATE_LENGTH
            assert not (receipt.intermediate and receipt.final)
            assert name == "none" or not receipt.by_text
            if receipt.by_text:
                assert receipt.message_id
                assert read_reply(text, LENIENT).verdict not in ANSWERS, "an answer is taken for a receipt"


def _tlvs(octets: bytes) -> dict[int, bytes]:
    return {
        TlvTag.RECEIPTED_MESSAGE_ID: octets,
        TlvTag.MESSAGE_STATE: octets[:1],
        TlvTag.NETWORK_ERROR_CODE: octets[1:4],
    }


def _message(octets: bytes, esm_class: int, tlvs: dict[int, bytes]) -> ShortMessage:
    return ShortMessage(
        command_id=CommandId.DELIVER_SM,
        service_type="",
        source=Address(addr="77011234567", ton=1, npi=1),
        destination=Address(addr="1414", ton=0, npi=1),
        esm_class=esm_class,
        protocol_id=0,
        priority_flag=0,
        schedule_delivery_time="",
        validity_period="",
        registered_delivery=0,
        data_coding=0,
        short_message=octets,
        tlvs=tlvs,
    )
