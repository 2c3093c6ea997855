"""Texts and USSD screens that wait to be sent: queued with a decision, moved to another link, withdrawn.

The row of a text is kept. While its state is queued it has an entry in `outbox`: there it is found. A statement
locks the entry before the text.
`clock_timestamp()` is real time; a text's `created_at` is business time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from operator import attrgetter
from typing import Any

import orjson

from gateway.config.routing import Routing
from gateway.consent.texts import Kind
from gateway.store.database import Connection
from gateway.store.writes import Write


class Priority(IntEnum):
    """The order of sending: texts 2 and 3, clarifications and screens always before requests and repeats."""

    URGENT = 0
    BULK = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSms:
    """A text to queue for a case."""

    case_id: str
    kind: Kind
    repeat: int  # 0: the request, n: the n-th repeat
    link: str
    msisdn: str
    template: str  # version of the template
    body: str
    long_messages: str  # udh8, udh16, sar or payload
    segments: int
    fields: Mapping[str, str] | None = None  # that make the body of the template; None: the body itself is stored

    @property
    def priority(self) -> Priority:
        return Priority.BULK if self.kind in (Kind.REQUEST, Kind.REPEAT) else Priority.URGENT


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScreen:
    """A screen to show in a USSD dialogue; `case_id` is None when no question is open at the number."""

    case_id: str | None
    kind: Kind
    link: str
    msisdn: str
    template: str
    body: str
    tlvs: bytes  # encoded: ussd_service_op and its_session_info (SMPP 3.4 §5.3.2.44)


# Two texts under way to one number must not share a concatenation reference: the handset would join their
# segments. `allotted` advances the counter of each number by the number of its new texts and returns the reference
# of the last one. The references of the others are counted back from it, so that they ascend in the order of
# `ordinal`. The first $3 texts are claimed by the process $4 at once: their rows are those of sms.claim.
_QUEUE = """new AS (
    SELECT * FROM unnest($1::text_row[]) WITH ORDINALITY
        AS n (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, fields,
              ordinal)
), allotted AS (
    INSERT INTO subscribers AS s (msisdn, reference)
    SELECT msisdn, count(*) FROM new GROUP BY msisdn ORDER BY msisdn
    ON CONFLICT (msisdn) DO UPDATE SET reference = (s.reference + excluded.reference) % 65536
    RETURNING msisdn, reference
), queued AS (
    INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, fields, long_messages,
                     segments, reference, created_at, state, node, attempts)
    SELECT case_id, kind, repeat, link, msisdn, priority, template, body, fields, long_messages, segments,
           (reference - row_number() OVER (PARTITION BY msisdn ORDER BY ordinal DESC) + 1 + 65536) % 65536, $2,
           CASE WHEN ordinal <= $3 THEN 'sending' ELSE 'queued' END, CASE WHEN ordinal <= $3 THEN $4 END,
           (ordinal <= $3)::integer
    FROM new JOIN allotted USING (msisdn) ORDER BY ordinal
    RETURNING link, priority, sms_id, reference, state
), to_send AS (
    INSERT INTO outbox (link, priority, sms_id) SELECT link, priority, sms_id FROM queued WHERE state = 'queued'
), sent_at_once AS (
    INSERT INTO sending (node, sms_id) SELECT $4, sms_id FROM queued WHERE state = 'sending'
)"""
QUEUED = "SELECT sms_id, reference FROM queued ORDER BY sms_id"
"""The result of `queueing`: (sms_id, concatenation reference), in the order of the texts."""

_QUEUE_SCREENS = """
WITH queued AS (
    INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments,
                     reference, tlvs, created_at, expires_at)
    SELECT case_id, kind, 0, link, msisdn, 0, template, body, 'ussd', 1, 0, tlvs, $2,
           clock_timestamp() + make_interval(secs => $3)
    FROM unnest($1::screen_row[]) WITH ORDINALITY
        AS n (case_id, kind, link, msisdn, template, body, tlvs, ordinal) ORDER BY ordinal
    RETURNING link, priority, sms_id, expires_at
), found AS (
    INSERT INTO outbox (link, priority, sms_id, expires_at) SELECT link, priority, sms_id, expires_at FROM queued
)
SELECT sms_id FROM queued ORDER BY sms_id
"""

_ACCEPT_LATE = """
WITH late AS (
    SELECT sms_id, late.segments, link, priority FROM unnest($1::late_text_row[]) AS late JOIN sms USING (sms_id)
), early AS (
    UPDATE outbox o SET next_at = clock_timestamp() FROM late
    WHERE o.link = late.link AND o.priority = late.priority AND o.sms_id = late.sms_id
    RETURNING o.sms_id, late.segments, o.next_at
)
UPDATE sms SET accepted_segments = accepted_segments | early.segments, next_at = early.next_at
FROM early WHERE sms.sms_id = early.sms_id
"""

_ON_UNCONFIGURED_LINKS = """
SELECT sms_id, s.msisdn, c.operator FROM outbox o JOIN sms s USING (sms_id) LEFT JOIN cases c USING (case_id)
WHERE o.link <> ALL($1::text[])
  AND NOT EXISTS (SELECT FROM links l WHERE l.link = o.link AND l.node IS NOT NULL)
  AND NOT EXISTS (SELECT FROM nodes WHERE o.link = ANY(wanted))
"""
_REROUTE = """
WITH moved AS (
    UPDATE outbox o SET link = u.link FROM unnest($1::route_row[]) AS u JOIN sms s USING (sms_id)
    WHERE o.link = s.link AND o.priority = s.priority AND o.sms_id = s.sms_id
    RETURNING o.sms_id, o.link
)
UPDATE sms SET link = moved.link FROM moved WHERE sms.sms_id = moved.sms_id
"""

_WITHDRAW = """withdrawn AS (
    DELETE FROM outbox o USING sms s
    WHERE s.case_id = ANY($1::text[]) AND s.state = 'queued' AND s.kind IN ('request', 'repeat', 'clarify')
      AND s.accepted_segments = 0
      AND o.link = s.link AND o.priority = s.priority AND o.sms_id = s.sms_id
    RETURNING o.sms_id
), cancelled AS (
    UPDATE sms SET state = 'cancelled' FROM withdrawn WHERE sms.sms_id = withdrawn.sms_id
)"""

_text_columns: Callable[[NewSms], tuple[Any, ...]] = attrgetter(
    "case_id", "kind", "repeat", "link", "msisdn", "priority", "template"
)
_screen_columns: Callable[[NewScreen], tuple[Any, ...]] = attrgetter(
    "case_id", "kind", "link", "msisdn", "template", "body", "tlvs"
)


def queueing(texts: Sequence[NewSms], now: datetime, *, immediate: int = 0, node: str | None = None) -> Write:
    """Queues the texts. Each gets the next concatenation reference of its number.

    The first `immediate` of them are claimed by the process `node`, whose transaction it has to be.
    """
    return Write(_QUEUE, ([_text_row(text) for text in texts], now, immediate, node))


def _text_row(text: NewSms) -> tuple[Any, ...]:
    made = text.fields is not None
    return (
        *_text_columns(text),
        None if made else text.body,
        text.long_messages,
        text.segments,
        orjson.dumps(text.fields).decode() if made else None,
    )


async def queue_screens(
    connection: Connection, screens: Sequence[NewScreen], now: datetime, lifetime_seconds: float
) -> list[int]:
    """The sms_ids of the queued screens, in order. A screen not sent within its lifetime (real time) expires."""
    rows = await connection.fetch(
        _QUEUE_SCREENS, [_screen_columns(screen) for screen in screens], now, lifetime_seconds
    )
    return [row["sms_id"] for row in rows]


async def accept_late(connection: Connection, segments: Mapping[int, int]) -> None:
    """Notes segments (a mask by sms_id) of queued texts that the SMSC has accepted: they are not sent again."""
    await connection.execute(_ACCEPT_LATE, list(segments.items()))


async def reroute(connection: Connection, links: Collection[str], routing: Routing) -> int:
    """The number of queued texts moved from links that no process configures to links that carry their numbers.

    `links` are the configured ones.
    """
    rows = await connection.fetch(_ON_UNCONFIGURED_LINKS, list(links))
    routes = [(row["sms_id"], routing.link_for(row["msisdn"], row["operator"])) for row in rows]
    found = [(sms_id, link) for sms_id, link in routes if link is not None]
    await connection.execute(_REROUTE, found)
    return len(found)


def withdrawing(case_ids: Collection[str]) -> Write:
    """Cancels the queued questions and clarifications of these cases of which no segment was accepted."""
    return Write(_WITHDRAW, (list(case_ids),))
