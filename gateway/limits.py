"""The longest length of everything that comes from outside, enforced where it is decoded.

What is longer is cut and marked, or rejected, before it is normalised, matched, masked, logged or stored. The
contracts' own limits of JSON fields are in `gateway.intake.fields`, those of HTTP in `gateway.api`.
"""

from typing import Final

MAX_SMPP_STRING_OCTETS: Final = 64
"""The longest C-octet string: system_id, service_type, a time. SMPP 3.4 allows 16 or 17 at most."""
MAX_MESSAGE_ID_OCTETS: Final = 255
"""The octets kept of an SMSC's message_id. SMPP 3.4 §5.2.23 allows 64; a database index cannot hold a far longer
one.
"""
MAX_ADDRESS_OCTETS: Final = 255
"""The longest SME address. SMPP 3.4 §5.2.8 allows 20, and 64 in data_sm; a longer one makes a PDU malformed."""
MAX_RECEIPT_OCTETS: Final = 1_000
"""The octets of a receipt's text that are read; its fields are at the beginning."""
MAX_RECEIPT_ERROR_CHARACTERS: Final = 8
"""The longest `err` of a receipt. SMPP 3.4 Appendix B has 3, rules of operators up to 4."""
MAX_REPLY_CHARACTERS: Final = 1_600
"""The longest reply: ten segments. A longer one is no reply to a question."""
MAX_REPLY_OCTETS: Final = 4 * MAX_REPLY_CHARACTERS
"""The octets of a reply that are kept as evidence, in the longest coding."""
MAX_MSISDN_CHARACTERS: Final = 40
"""The longest subscriber's number with its separators."""
MAX_LOGGED_CHARACTERS: Final = 8_000
"""The longest string in a log line: a traceback has some thousand characters."""

_MARK: Final = "…"


def cut(text: str, most: int) -> str:
    """The text; one longer than `most` characters is cut to that length, with a mark as its last character."""
    return text if len(text) <= most else text[: most - 1] + _MARK
