"""Commits on one server only are logged once, where they are to be on two."""

import pytest
from structlog.testing import capture_logs

from gateway.config.model import Durability
from gateway.store import replication
from gateway.store.database import Database
from gateway.store.replication import Replication
from gateway.usecases.replication_check import ReplicationCheck
from tests.harness import metric

NONE = Replication(0, 0, 0, waits=False)
LAGGING = Replication(1, 0, 0, waits=False)
SYNCHRONOUS = Replication(2, 1, 0, waits=True)


@pytest.mark.parametrize(
    ("durability", "states", "logged"),
    [
        ("local", [NONE, NONE], []),
        ("local", [NONE, LAGGING, LAGGING, SYNCHRONOUS, SYNCHRONOUS], ["commits_local", "commits_replicated"]),
        ("replicated", [NONE, NONE, SYNCHRONOUS, LAGGING, NONE],
         ["commits_local", "commits_replicated", "commits_local", "commits_local"]),
    ],
)  # fmt: skip
async def test_a_shortfall_is_logged_once_and_its_end_too(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    durability: Durability,
    states: list[Replication],
    logged: list[str],
) -> None:
    check = ReplicationCheck(database, durability)
    with capture_logs() as lines:
        for state in states:

            async def given(_: object, state: Replication = state) -> Replication:
                return state

            monkeypatch.setattr(replication, "state", given)
            await check.check()
            assert metric("commits_replicated") == state.is_synchronous
            assert metric("database_standbys", state="connected") == state.standbys
    assert [line["event"] for line in lines] == logged
