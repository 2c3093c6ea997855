"""What the national education database (NEDB) gets for each day (order A1 §8 and §12, A2 §14)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DAYS = 14
_OF_WALLET = {"activated": "activated", "used": "meals"}
_OF_SDU = {"no_number": "no_number", "service_received": "service_received"}
_COLUMNS = (*_OF_WALLET.values(), *_OF_SDU.values())


class DailyReport:
    """Counts by local date, of growing sequences: each of their elements is counted once.

    `activated` and `meals` are what the wallet reports, `no_number` and `service_received` what SDU passes on.
    """

    def __init__(self, wallet_events: Sequence[Mapping[str, Any]], statuses: Sequence[Mapping[str, Any]]) -> None:
        self._sources = ((wallet_events, "type", _OF_WALLET), (statuses, "status", _OF_SDU))
        self._counted = [0, 0]
        self._days: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COLUMNS, 0))

    def rows(self) -> list[dict[str, Any]]:
        """The latest days that have anything, the last one first."""
        for number, (events, key, columns) in enumerate(self._sources):
            for event in events[self._counted[number] :]:
                if column := columns.get(event[key]):
                    self._days[event["at"][:10]][column] += 1
            self._counted[number] = len(events)
        return [{"date": date, **self._days[date]} for date in sorted(self._days, reverse=True)[:MAX_DAYS]]
