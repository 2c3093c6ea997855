"""Bytes of the database and of WAL that a case leaves once it has its voucher, and the share of HOT updates.

Every family is asked, agrees, and has its voucher: two campaigns, of which the second is measured. The first makes
the queues as long as they become; they do not grow again. Bytes are those of tables, indexes and TOAST after
VACUUM, by table; receipts that are still expected are among them.
"""

import asyncio
from collections.abc import Mapping

from benches.campaign import campaign
from benches.replies import replies
from benches.rig import Rig, arguments, report, rig

_BYTES = """
SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""
_UPDATES = """
SELECT relname, n_tup_upd AS updates, n_tup_hot_upd AS hot FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND n_tup_upd > 0 ORDER BY n_tup_upd DESC
"""
_SHOWN_FROM_BYTES = 10


async def _bytes(rig: Rig) -> Mapping[str, int]:
    await rig.database.execute("VACUUM")
    return {row["relname"]: row["bytes"] for row in await rig.database.fetch(_BYTES)}


async def _wal(rig: Rig) -> int:
    position: int = await rig.database.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return position


async def main() -> None:
    given = arguments(__doc__, pupils=10_000).parse_args()
    async with rig() as fresh:
        async with fresh.sink() as (sink, port), fresh.gateway(port, push=True) as gateway:
            for first in (1, 1_000_001):
                before, began = await _bytes(fresh), await _wal(fresh)
                await campaign(fresh, gateway, sink, given.pupils, first=first)
                await replies(fresh, gateway, sink, given.pupils, first=first)
                written = await _wal(fresh) - began
        after = await _bytes(fresh)
        updates = {row["relname"]: (row["updates"], row["hot"]) for row in await fresh.database.fetch(_UPDATES)}
    tables = {name: (bytes_ - before[name]) / given.pupils for name, bytes_ in after.items()}
    shown = {name: each for name, each in tables.items() if each >= _SHOWN_FROM_BYTES}
    total, hot = sum(count for count, _ in updates.values()), sum(hot for _, hot in updates.values())
    share = hot / total if total else 1.0
    report(
        {
            "cases": f"{given.pupils:,}",
            "bytes a case": f"{sum(tables.values()):,.0f}",
            **{f"  {name}": f"{each:,.0f}" for name, each in sorted(shown.items(), key=lambda one: -one[1])},
            "bytes of WAL a case": f"{written / given.pupils:,.0f}",
            "HOT updates": f"{share:.0%}",
            **{f"  {name} ": f"{hot / count:.0%} of {count:,}" for name, (count, hot) in updates.items()},
        },
        {
            "bytes": round(sum(tables.values())),
            "wal_bytes": round(written / given.pupils),
            "hot": round(share, 3),
            "tables": {name: round(each) for name, each in shown.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
