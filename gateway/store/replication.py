"""Whether what the gateway commits is on a second server before the commit returns."""

from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader

# Without the rights of pg_monitor the rows have no state.
STATE = """
SELECT count(*)::integer AS standbys,
       count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))::integer AS synchronous,
       count(*) FILTER (WHERE sync_state IS NULL)::integer AS unreadable,
       current_setting('synchronous_standby_names') <> ''
         AND current_setting('synchronous_commit') IN ('on', 'remote_apply') AS waits
FROM pg_stat_replication
"""


SHORTFALLS = {
    "hidden": "the state of the standbys is hidden from this role: GRANT pg_monitor to it",
    "disconnected": "no synchronous standby is connected, and commits wait for one: look at the standbys",
    "asynchronous": "the standbys are not synchronous: set synchronous_standby_names",
    "no_standby": "there is no standby: connect one, and set synchronous_standby_names",
}
"""Why what is acknowledged is on one server only, and what settles that."""


class Replication(NamedTuple):
    """The standbys of the server, and whether a commit waits for one."""

    standbys: int  # connected
    synchronous: int  # of these, as far as their state can be read
    unreadable: int  # whose state the gateway's role may not read
    waits: bool

    @property
    def is_synchronous(self) -> bool:
        """Whether a commit that returns is on a standby's disk too."""
        return self.waits and self.synchronous > 0

    @property
    def shortfall(self) -> str:
        """Why it is not, and what settles that; "" where it is."""
        return SHORTFALLS.get(self.shortfall_kind, "")

    @property
    def shortfall_kind(self) -> str:
        """The same as a key of SHORTFALLS; "" where it is."""
        if self.is_synchronous:
            return ""
        if self.unreadable:
            return "hidden"
        if self.waits:
            return "disconnected"
        return "asynchronous" if self.standbys else "no_standby"


_read_state = reader(Replication)


async def state(connection: Connection) -> Replication:
    """The present state, for sessions with the settings of this one."""
    row = await connection.fetchrow(STATE)
    assert row is not None
    return _read_state(row)
