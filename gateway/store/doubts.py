"""Times in which an SMSC may not have heard that we have its replies. Real time throughout."""

from collections.abc import Mapping, Sequence

from gateway.consent.doubt import Earlier
from gateway.store.database import Connection

COPIES_WITHIN = 7 * 86_400.0
"""Seconds for which an SMSC may keep a reply and deliver it again."""

_NOTE = """
WITH new AS (
    SELECT $1 AS link, clock_timestamp() - make_interval(secs => $2) AS began_at,
           clock_timestamp() - make_interval(secs => $3) AS ended_at
), longer AS (
    UPDATE doubts SET began_at = least(doubts.began_at, new.began_at),
                      ended_at = greatest(doubts.ended_at, new.ended_at)
    FROM new WHERE doubts.link = new.link AND doubts.ended_at >= new.began_at AND doubts.began_at <= new.ended_at
    RETURNING doubts.link
)
INSERT INTO doubts SELECT * FROM new WHERE NOT EXISTS (SELECT FROM longer)
"""

_EARLIER = """
SELECT r.source_addr, r.octets, r.case_id, EXISTS (
    SELECT FROM doubts d WHERE d.link = r.link AND r.arrived_at BETWEEN d.began_at AND d.ended_at
) AS unheard
FROM unnest($1::text[], $2::bytea[]) AS again (source_addr, octets) JOIN replies r USING (source_addr, octets)
WHERE r.arrived_at > clock_timestamp() - make_interval(secs => $3) ORDER BY r.reply_id
"""

_EXPIRE = "DELETE FROM doubts WHERE ended_at < clock_timestamp() - make_interval(secs => $1)"


async def note(connection: Connection, link: str, began: float, ended: float) -> None:
    """Notes a time of doubt, by the seconds since it began and ended (below 0: it will yet end)."""
    await connection.execute(_NOTE, link, began, ended)


async def exist(connection: Connection) -> bool:
    """Whether there is any reply of which a copy may come."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM doubts)"))


async def earlier(
    connection: Connection, replies: Sequence[tuple[str, bytes]]
) -> Mapping[tuple[str, bytes], Sequence[Earlier]]:
    """By (sender, octets): the replies like it that came before, oldest first; none, no entry."""
    found: dict[tuple[str, bytes], list[Earlier]] = {}
    rows = await connection.fetch(_EARLIER, [r[0] for r in replies], [r[1] for r in replies], COPIES_WITHIN)
    for row in rows:
        like = found.setdefault((row["source_addr"], row["octets"]), [])
        like.append(Earlier(row["case_id"], row["unheard"]))
    return found


async def expire(connection: Connection) -> None:
    """Forgets times from which no copy can come any more."""
    await connection.execute(_EXPIRE, COPIES_WITHIN)
