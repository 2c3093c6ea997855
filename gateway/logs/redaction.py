"""The masking of log lines: any value as plain data for JSON, without personal data and secrets.

Three layers. Under a private key (`surname`, `text`, `password` …) nothing is shown at all.
Every other string, key and number is searched for IINs, subscriber numbers, Cyrillic words (names and texts
are Cyrillic, the gateway's own log texts are not) and credentials. Messages of exceptions and libraries are shown
without what they quote. An object that is no plain data shows its class only.
ULIDs and hexadecimal digests pass, even where a dozen digits stand in a row within them.
"""

import enum
import re
from collections.abc import Mapping, Set
from datetime import date, timedelta
from functools import lru_cache
from pathlib import PurePath

from gateway.consent.identity import canonical_msisdn, mask_iin, mask_msisdn
from gateway.limits import MAX_LOGGED_CHARACTERS, cut

MASK = "•••"

# A key is private when it or its last word is: given_name, wallet_token, short_message.
PRIVATE_KEYS = frozenset(
    {"name", "surname", "patronymic"}
    | {"pupil", "recipient", "mother", "father", "representative", "representatives", "record"}
    | {"text", "texts", "body", "content", "reply", "short_message", "payload", "octets"}
    | {"password", "passwd", "secret", "secrets", "token", "tokens", "authorization", "cookie", "credentials"}
)

_MAX_DEPTH = 8
_MAX_INTEGER = 1 << 63  # larger ones are no integers of every JSON reader
_MAX_CACHED_LENGTH = 40  # ids of lists, names of links and states recur
_LONGEST_NUMBER = 64  # of a subscriber number with gaps, or an id
_MIN_PRIVATE_LENGTH = 10  # of a subscriber number without its country code

_GAP = r"[ \u00a0()-]{0,3}"
_START = r"(?:(?<!\d)|(?<=\\x[0-9a-f]{2}))"  # the second: octets shown as \x00
_PRIVATE = re.compile(
    r"(?P<id>(?<![0-9A-Za-z])(?:[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9A-Za-z]))"
    rf"|(?P<msisdn>{_START}(?:(?:\+|00{_GAP}|8{_GAP}10{_GAP})?7{_GAP}|8{_GAP})?"
    rf"7(?:0[0-25-8]|47|6[0-4]|7[15-8]|85)(?:{_GAP}\d){{7}}(?!\d))"
    rf"|(?P<iin>{_START}\d{{12}}(?!\d))"
    r"|(?P<words>[\u0400-\u052f](?:[\u0400-\u052f\s.'’-]*[\u0400-\u052f])?)"
    r"|(?P<credential>(?<=://)[^/\s:@]{0,200}:[^\s@]{0,200}(?=@)|(?i:\b(?:bearer|basic)\s{1,9}[^\s'\"]+)|\bwhsec_[^\s'\"]+)"
    # PostgreSQL shows the row, asyncpg the argument of an error: all of it may be personal data.
    r"|(?P<row>(?<=DETAIL:)[\s\S]+|(?<=invalid input for query argument )[\s\S]+)"
)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")  # alone, as most lines have one
# From the first quotation mark on: what is quoted may hold marks itself, and be cut off before its last one.
_QUOTED = re.compile(r"(?:(?<!\w)|(?<=\bb))(['\"`]).*", re.DOTALL)


def masked_text(text: str) -> str:
    """The text with everything private in it masked, cut at MAX_LOGGED_CHARACTERS."""
    if len(text) <= _MAX_CACHED_LENGTH:
        return text if _ULID.fullmatch(text) else _masked_word(text)
    return cut(_masked_text(text), MAX_LOGGED_CHARACTERS)


def _masked_text(text: str) -> str:
    text = text[: MAX_LOGGED_CHARACTERS + _LONGEST_NUMBER]  # a number at the end is masked as a whole, then cut
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no UTF-8
    return _PRIVATE.sub(_mask, text) if len(text) >= _MIN_PRIVATE_LENGTH or not text.isascii() else text


_masked_word = lru_cache(maxsize=1024)(_masked_text)


def without_numbers(text: str) -> str:
    """The text with IINs and subscriber numbers in it masked: for texts of people that are never erased."""
    return _PRIVATE.sub(lambda match: match[0] if match.lastgroup == "words" else _mask(match), text)


def masked_message(text: str) -> str:
    """The message up to its first quotation, with everything private in it masked."""
    return masked_text(_QUOTED.sub(rf"\g<1>{MASK}\g<1>", text))


def masked(value: object, depth: int = 0) -> object:
    """The value as plain data that a log may show: texts masked, private keys blanked, objects named only."""
    if type(value) is str:  # most are
        return masked_text(value)
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return masked(value.value, depth)
        case str():
            return masked_text(value)
        case int():
            return _number(value)
        case float():
            return value
        case Mapping() | list() | tuple() | Set() if depth == _MAX_DEPTH:
            return MASK
        case Mapping():
            return {
                masked_text(str(key)): MASK if is_private(key) else masked(inner, depth + 1)
                for key, inner in value.items()
            }
        case list() | tuple() | Set():
            return [masked(inner, depth + 1) for inner in value]
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case PurePath():
            return masked_text(str(value))
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} octets>"
        case OSError():  # it quotes a file's name, or an address
            return f"{type(value).__name__}: {masked_text(_message(value))}"
        case BaseException():
            return f"{type(value).__name__}: {masked_message(_message(value))}"
        case _:
            return f"<{type(value).__name__}>"


@lru_cache(maxsize=1024)
def is_private(key: object) -> bool:
    """Whether what stands under the key is never shown."""
    name = str(key).lower()
    return name in PRIVATE_KEYS or name.rpartition("_")[2] in PRIVATE_KEYS


def _number(value: int) -> object:
    text = str(value)
    shown = masked_text(text)
    return value if shown == text and -_MAX_INTEGER <= value < _MAX_INTEGER else shown


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a log line is written even if the exception cannot be formatted
        return MASK


def _mask(match: re.Match[str]) -> str:
    found = match[0]
    match match.lastgroup:
        case "id":
            return found
        case "iin":
            return mask_iin(found)
        case "msisdn":
            return mask_msisdn(canonical_msisdn(found) or "") or MASK
        case _:
            return MASK
