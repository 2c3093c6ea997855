"""The texts of a case and the replies that count for it, in clear, for a person who has to judge the case."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from gateway.smpp.text import LongMessages, decode_text, segment_texts
from gateway.store.database import Connection

_TEXTS = """
SELECT kind, link, state, created_at, accepted_at, long_messages,
       coalesce(body, filled_template(template, fields)) AS body
FROM sms WHERE case_id = $1 ORDER BY sms_id
"""
_REPLIES = """
SELECT link, verdict, octets, data_coding, received_at FROM replies WHERE case_id = $1 ORDER BY reply_id
"""


class SentMessage(NamedTuple):
    """A text or a USSD screen to the parent."""

    kind: str  # request, repeat, agreed, refused, clarify, or a screen: menu …
    link: str
    state: str
    queued_at: datetime
    accepted_at: datetime | None  # by the SMSC
    segments: list[str] | None  # their texts; None: erased


class ReceivedMessage(NamedTuple):
    """A reply of the parent."""

    link: str
    verdict: str
    received_at: datetime
    text: str | None  # None: erased, or its octets do not decode


async def sent(connection: Connection, case_id: str) -> list[SentMessage]:
    """The texts of the case, in the order in which they were queued."""
    return [
        SentMessage(
            kind=row["kind"],
            link=row["link"],
            state=row["state"],
            queued_at=row["created_at"],
            accepted_at=row["accepted_at"],
            segments=_cut(row["body"], row["long_messages"]),
        )
        for row in await connection.fetch(_TEXTS, case_id)
    ]


async def received(connection: Connection, case_id: str, alphabets: Mapping[str, str]) -> list[ReceivedMessage]:
    """The replies of the case, in order; `alphabets` are the default ones by link."""
    return [
        ReceivedMessage(
            link=row["link"],
            verdict=row["verdict"],
            received_at=row["received_at"],
            text=_decoded(row["octets"], row["data_coding"], alphabets.get(row["link"], "gsm7")),
        )
        for row in await connection.fetch(_REPLIES, case_id)
    ]


def _cut(body: str | None, long_messages: str) -> list[str] | None:
    if body is None:
        return None
    return [body] if long_messages == "ussd" else segment_texts(body, LongMessages(long_messages))


def _decoded(octets: bytes | None, data_coding: int, alphabet: str) -> str | None:
    return None if octets is None else decode_text(octets, data_coding, alphabet)
