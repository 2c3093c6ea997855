"""What readiness depends on, by one statement: links, an open rewind, the standbys."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.queues import ALIVE_WITHIN_SECONDS, LINKS
from gateway.store.replication import STATE, Replication
from gateway.store.rewinds import OPEN
from gateway.store.rows import reader

# A row for each link, and one without any where no link was ever configured.
_READINESS = f"""
SELECT rewind.seq, rewind.known_seq, standbys, synchronous, unreadable, waits, link, bound, unaccepted_since
FROM ({STATE}) AS replication LEFT JOIN ({OPEN}) AS rewind ON true LEFT JOIN ({LINKS}) AS links ON true
"""  # noqa: S608


class LinkReadiness(NamedTuple):
    """A link as the process that holds it sees it."""

    link: str
    bound: int  # sessions; 0 where no live process holds the link
    unaccepted_since: datetime | None  # real time: the first submit_sm after which nothing was accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The state of the cluster."""

    rewind: (
        tuple[int, int] | None
    )  # seq where the database ended, and the one that is known; None: it is not rewound
    replication: Replication
    links: list[LinkReadiness]  # by name


_read_replication = reader(Replication)
_read_link = reader(LinkReadiness)


async def state(connection: Connection) -> Readiness:
    """The present state."""
    rows = await connection.fetch(_READINESS, ALIVE_WITHIN_SECONDS)
    first = rows[0]
    return Readiness(
        rewind=(first["seq"], first["known_seq"]) if first["known_seq"] is not None else None,
        replication=_read_replication(first),
        links=[_read_link(row) for row in rows if row["link"] is not None],
    )
