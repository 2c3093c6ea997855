"""The rules for any deliver_sm: it becomes one receipt, USSD message, reply or segment, within the limits.

The first four octets are esm_class, data_coding, the sender's TON, and the link's default alphabet; the user data
follow.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from gateway.config import Link, load
from gateway.consent.identity import canonical_msisdn
from gateway.limits import (
    MAX_ADDRESS_OCTETS,
    MAX_MESSAGE_ID_OCTETS,
    MAX_REPLY_CHARACTERS,
    MAX_REPLY_OCTETS,
    MAX_SMPP_STRING_OCTETS,
)
from gateway.operators.decoding import decode_into
from gateway.smpp.pdu import CommandId, TlvTag, encode_tlv
from gateway.smpp.receipt import MAX_STATE_LENGTH
from gateway.smpp.session import Received
from gateway.smpp.text import DefaultAlphabet, decode, decode_segments
from gateway.store.inbound import ReplySegment
from gateway.usecases.inbound import InboundBatch
from gateway.usecases.reply_evidence import Reply

WORDS: Final = (
    b"\x05\x00\x03\x07\x02\x01", b"\x06\x08\x04\x01\x07\x02\x01", b"\x06\x05\x04\x0b\x84\x0b\x84",
    b"\x05\x00\x03\x00\xff\x01", b"\x24\x01\x03", b"\x1b", b"\x1b\x1b", b"\xd8\x00", b"\xfe\xff", b"\xff\xfe",
    b"3#1", b"3#2", b"\x003\x00#\x001", b"\x0d", b"\0", b"\xff", b"\x40", b"\x08", b"id:1 stat:DELIVRD err:0",
)  # fmt: skip
_CONFIG: Final = Path(__file__).parent / "corpus" / "configuration" / "minimal.bin"
_ALPHABETS: Final[tuple[DefaultAlphabet, ...]] = get_args(DefaultAlphabet)
_SENDER: Final = b"77011234567"
_ALPHANUMERIC: Final = 5
_MAX_SHORT_MESSAGE_OCTETS: Final = 254
_PREFIX_CHARACTERS: Final = len("TON 255: ")


def _links() -> list[Link]:
    """A link for each default alphabet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(_CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
        (link,) = load(path, environ={}, secrets=False).links
    return [replace(link, default_alphabet=alphabet) for alphabet in _ALPHABETS]


LINKS: Final = _links()


def probe(octets: bytes) -> None:
    """Decodes the octets as a message. Raises AssertionError, or what a decoder raised."""
    esm_class, data_coding, ton, alphabet = octets[:4].ljust(4, b"\0")
    user_data, link = octets[4:], LINKS[alphabet % len(LINKS)]
    batch = InboundBatch()
    decode_into(batch, link, Received(CommandId.DELIVER_SM, 1, _body(esm_class, data_coding, ton, user_data)))
    assert len(batch.replies) + len(batch.segments) + len(batch.ussd) + len(batch.receipts) <= 1
    for reply in batch.replies:
        _is_within_limits(reply, ton)
    for segment in batch.segments:
        _is_a_segment(segment, link)
    for receipt in batch.receipts:
        assert len(receipt.message_id) <= MAX_MESSAGE_ID_OCTETS
        assert receipt.msisdn in ("", _SENDER.decode())
    for _, state in batch.unknown_states:
        assert 0 < len(state) <= MAX_STATE_LENGTH


def _body(esm_class: int, data_coding: int, ton: int, user_data: bytes) -> bytes:
    """A deliver_sm (SMPP 3.4 §4.6.1); user data that are too long for short_message are a message_payload."""
    addresses = b"\0" + bytes([ton, 1]) + _SENDER + b"\0" + b"\0\x01" + b"1414\0"
    fields = addresses + bytes([esm_class, 0, 0, 0, 0, 0, 0, data_coding, 0])
    if len(user_data) <= _MAX_SHORT_MESSAGE_OCTETS:
        return fields + bytes([len(user_data)]) + user_data
    return fields + b"\0" + encode_tlv(TlvTag.MESSAGE_PAYLOAD, user_data)


def _is_within_limits(reply: Reply, ton: int) -> None:
    assert len(reply.octets) <= MAX_REPLY_OCTETS
    assert len(reply.smsc_time) <= MAX_SMPP_STRING_OCTETS
    assert max(len(reply.source_addr), len(reply.destination_addr)) <= MAX_ADDRESS_OCTETS + _PREFIX_CHARACTERS
    assert "\0" not in reply.source_addr + reply.destination_addr + reply.smsc_time
    if reply.text is not None:
        assert len(reply.text) <= MAX_REPLY_CHARACTERS
        assert reply.text.encode("utf-8").decode("utf-8") == reply.text
        assert reply.ignored is None, "a message to a port has a text"
    if ton == _ALPHANUMERIC:
        assert canonical_msisdn(reply.source_addr) is None, "a name is taken for a subscriber"


def _is_a_segment(segment: ReplySegment, link: Link) -> None:
    assert 1 <= segment.number <= segment.total <= 255
    assert segment.total >= 2
    assert len(segment.octets) <= MAX_REPLY_OCTETS
    alone = decode(segment.octets, segment.data_coding, link.default_alphabet, segment.udh_octets)
    pieces = [segment.octets, b""]
    assert decode_segments(pieces, segment.data_coding, link.default_alphabet, segment.udh_octets) == alone
