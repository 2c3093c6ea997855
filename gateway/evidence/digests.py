"""The digests that stand in the journal in place of personal data, and the hash chain over its entries.

The journal holds HMAC-SHA-256 digests under a key that each case has for itself, derived from the database's
evidence key. A record of evidence carries the key of its own case and opens no other.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

FORMATS: Mapping[int, str] = {1: "gateway-evidence-1", 2: "gateway-evidence-2"}
"""The format of a record of evidence (docs/evidence.md) by the highest version of the hash among its entries."""


HASH_VERSION: Final = 2
"""The version of the hash of entries that are sealed now."""
_CACHED_KEYS: Final = 1_000
"""The number of case keys in memory: the entries of one reply need the key several times."""


class Anchor(NamedTuple):
    """The root of the Merkle tree over the journal's first `seq` entries, noted when these were the journal."""

    seq: int
    root: bytes


class Sender(NamedTuple):
    """A source_addr as it came, with its type of number and numbering plan."""

    addr: str
    ton: int
    npi: int


def sender(addr: str | None, ton: int | None, npi: int | None) -> Sender | None:
    """The sender of a row; None for one from before it was kept."""
    return None if addr is None or ton is None or npi is None else Sender(addr, ton, npi)


@lru_cache(maxsize=_CACHED_KEYS)
def case_key(evidence_key: bytes, case_id: str) -> bytes:
    """The key of one case's digests."""
    return hmac.digest(evidence_key, b"case:" + case_id.encode(), "sha256")


def keyed_hash(key: bytes, octets: bytes) -> str:
    """`hmac-sha256:` and 64 hex digits. Names and numbers cannot be tested against it without the key."""
    return "hmac-sha256:" + hmac.digest(key, octets, "sha256").hex()


def reply_identity(
    link: str,
    source_addr: str,
    destination_addr: str,
    octets: bytes,
    smsc_time: str,
    session: str | None = None,
    received: Sender | None = None,
) -> bytes:
    """The octets that the digest of a reply is computed over.

    `session` is that of its USSD dialogue, in hex. `received` is the sender as it came; None for a reply from
    before that was kept.
    """
    parts = [link, source_addr, destination_addr, octets.hex(), smsc_time]
    if received is not None:
        return orjson.dumps([*parts, session, *received])
    return orjson.dumps(parts if session is None else [*parts, session])


def sent_text(msisdn: str, body: str) -> bytes:
    """The octets that the digest of a text is computed over: its number and its body."""
    return orjson.dumps([msisdn, body])


def journal_entry(
    seq: int, at_us: int, case_id: str | None, event: str, event_id: str | None, detail: str, version: int
) -> bytes:
    """The octets of an entry that go into the chain; `at_us` in microseconds since 1970.

    Version 1, that of 0.1.0, has the same octets for NULL and for the empty string. Version 2 gives each text its
    length, and NULL none. Raises ValueError for another version.
    """
    match version:
        case 1:
            fields = (seq, at_us, case_id or "", event, event_id or "", detail)
            return "\x1f".join(map(str, fields)).encode()
        case 2:
            case = "-" if case_id is None else f"{len(case_id)}:{case_id}"
            status = "-" if event_id is None else f"{len(event_id)}:{event_id}"
            what = f"{len(event)}:{event}"
            return f"v2\x1f{seq}\x1f{at_us}\x1f{case}\x1f{what}\x1f{status}\x1f{detail}".encode()
        case _:
            raise ValueError(f"there is no version {version} of the hash")


def journal_hash(before: bytes, entry: bytes) -> bytes:
    """The chain's hash after an entry."""
    return hashlib.sha256(before + entry).digest()


def seal(record: Mapping[str, Any]) -> str:
    """The digest of a whole record of evidence, its field `seal` left out."""
    rest = {name: value for name, value in record.items() if name != "seal"}
    return "sha256:" + hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Digester:
    """Makes the digests of one database's journal, by its evidence key."""

    def __init__(self, evidence_key: bytes) -> None:
        self._key = evidence_key

    def digest(self, octets: bytes, case_id: str | None = None) -> str:
        """The keyed hash that stands in place of the octets: under the case's key, or the database's own."""
        key = self._key if case_id is None else case_key(self._key, case_id)
        return keyed_hash(key, octets)
