"""Whether commits are replicated synchronously: looked at by every process, logged when that changes."""

from gateway import metrics
from gateway.config.model import Durability
from gateway.logs.log import Event, get_logger
from gateway.store import replication
from gateway.store.database import Database

log = get_logger()


class ReplicationCheck:
    """The use case of the check; one per process."""

    def __init__(self, database: Database, durability: Durability) -> None:
        self._database = database
        self._durability = durability
        self._said = ""

    async def check(self) -> None:
        """Sets the metrics; logs a shortfall once, and its end.

        With durability "local" it is none to have no standby.
        """
        async with self._database.acquire() as connection:
            state = await replication.state(connection)
        metrics.STANDBYS.labels("connected").set(state.standbys)
        metrics.STANDBYS.labels("synchronous").set(state.synchronous)
        metrics.COMMITS_REPLICATED.set(state.is_synchronous)
        shortfall = state.shortfall if self._durability == "replicated" or state.standbys else ""
        if shortfall and shortfall != self._said:
            log.warning(Event.COMMITS_LOCAL, reason=shortfall, standbys=state.standbys)
        elif self._said and not shortfall:
            log.info(Event.COMMITS_REPLICATED, standbys=state.standbys)
        self._said = shortfall
