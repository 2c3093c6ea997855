"""A whole gateway between simulated partners, which are real servers on localhost.

`harness` is a fixture: `await harness.start()` runs the composition root over this test's own database, with the
configuration changed as the test needs it. Tests wait for events of a simulator, or for a notification of the
database that something was journaled.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from ports import free_port

from gateway import app, config, metrics
from gateway.backoff import Backoff
from gateway.config.policy import LinkPolicy, MembershipPolicy, PartnerPolicy, Policy
from gateway.simulators.configuration import config_toml
from gateway.simulators.identities import nth_iin
from gateway.simulators.mcb import McbSimulator, Number
from gateway.simulators.sdu import SduSimulator, new_secret
from gateway.simulators.smsc import Message, SmscSimulator
from gateway.simulators.wallet import WalletSimulator
from gateway.tracing.traces import Traces
from tests.entries import change_rows
from tests.journal_entries import all_entries

WITHIN = 30.0
"""Seconds after which a wait of a test fails."""
SEGMENTS = 15
"""Segments of the request to a Family in Kazakh."""
_SOON = Backoff(first_seconds=0.02, max_seconds=0.2)
QUICK = Policy(
    links=LinkPolicy(reconnect=_SOON, busy=_SOON),
    partners=PartnerPolicy(cooldown=_SOON, retry=_SOON, push=_SOON, pause=_SOON),
    membership=MembershipPolicy(reconnect_seconds=0.0),
)
"""Pauses of seconds between attempts are short here; the order of events is the same."""
TOKENS = {"sdu": "token-of-the-sdu", "wallet": "token-of-the-wallet", "ops": "token-of-the-ops"}

_NOTIFY_JOURNALED = """
CREATE FUNCTION notify_journaled() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NOTIFY journaled; RETURN NULL; END $$;
CREATE TRIGGER notify_journaled AFTER INSERT ON journal_pending
    FOR EACH STATEMENT EXECUTE FUNCTION notify_journaled();
"""


@dataclass(slots=True, kw_only=True)
class Family:
    """A pupil and the possible recipients, each with the number that the MCB has; "" is no such recipient."""

    n: int
    mother: Number = ""
    father: Number = ""
    representatives: tuple[Number, ...] = ()
    language: str = "kk"

    def __post_init__(self) -> None:
        if (self.mother, self.father, self.representatives) == ("", "", ()):
            self.mother = f"7701{self.n:07d}"

    @property
    def record_id(self) -> str:
        return f"r-{self.n}"

    @property
    def number(self) -> str:
        """The number of the first recipient that has one."""
        first = next(number for number in (self.mother, self.father, *self.representatives) if number)
        return first if isinstance(first, str) else first[0]

    @property
    def pupil_iin(self) -> str:
        return nth_iin(self.n * 10)

    @property
    def people(self) -> list[tuple[str, str, Number]]:
        """(relation, IIN, number) in the order's order."""
        both = [("mother", self.mother), ("father", self.father)]
        recipients = [*both, *(("representative", number) for number in self.representatives)]
        numbered = enumerate(recipients, start=self.n * 10 + 1)
        return [(relation, nth_iin(k), number) for k, (relation, number) in numbered if number != ""]

    def record(self) -> dict[str, Any]:
        """As SDU pushes it."""
        people: dict[str, Any] = {"mother": None, "father": None, "representatives": []}
        for relation, person_iin, _ in self.people:
            person = {
                "iin": person_iin,
                "surname": "Ахметова",
                "given_name": "Айгүл",
                "patronymic": "Серікқызы",
            }
            if relation == "representative":
                people["representatives"].append(person)
            else:
                people[relation] = person
        pupil = {"iin": self.pupil_iin, "surname": "Ахметов", "given_name": "Нұрлан"}
        return {
            "record_id": self.record_id,
            "category": 1,
            "language": self.language,
            "pupil": pupil,
            **people,
        }


@dataclass(slots=True)
class Process:
    """One running gateway."""

    url: str
    stopping: asyncio.Event
    task: asyncio.Task[int]

    async def stop(self) -> int:
        """Stops it as SIGTERM does; its exit status."""
        self.stopping.set()
        return await self.task

    async def kill(self) -> None:
        """Ends it at once, without an unbind."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@dataclass(slots=True, kw_only=True)
class Harness:
    """The gateways of a test, their database and their simulated partners."""

    database_url: str
    directory: Path
    connection: "asyncpg.Connection[asyncpg.Record]"
    smsc: SmscSimulator
    mcb: McbSimulator
    wallet: WalletSimulator
    sdu: SduSimulator
    http: aiohttp.ClientSession
    journal_changed: asyncio.Event
    schema: str = ""
    policy: Policy = field(default_factory=lambda: QUICK)
    traces: Traces = field(default_factory=Traces)
    running: list[Process] = field(default_factory=list)
    lists: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # The gateway

    async def start(self, **changes: Mapping[str, Any]) -> Process:
        """A running gateway, bound to the SMSC; `changes` are keys of config.toml, `link` those of its link,
        `other_link` what a second one has different."""
        process = await self.launch(**changes)
        await self.smsc.bound(within=WITHIN)
        return process

    def set_policy(self, **changes: Any) -> None:
        """Changes time-outs and limits of processes started later: `links={"stale_session_seconds": 0.05}`."""
        for part, values in changes.items():
            given = values if not isinstance(values, Mapping) else replace(getattr(self.policy, part), **values)
            self.policy = replace(self.policy, **{part: given})

    async def launch(self, **changes: Mapping[str, Any]) -> Process:
        """A gateway that is starting."""
        port = free_port()
        loaded = self.configure(port, **changes)
        stopping = asyncio.Event()
        task = asyncio.create_task(app.run(loaded, stopping, policy=self.policy, traces=self.traces))
        process = Process(f"http://127.0.0.1:{port}", stopping, task)
        self.running.append(process)
        return process

    def configure(self, port: int, **changes: Mapping[str, Any]) -> config.Config:
        tables: dict[str, Any] = {
            "gateway": {"database": self.database_url, "schema": self.schema},
            "http": {"port": port, "tokens": TOKENS},
            "journey": {"send_window": "00:00-24:00"},
            "mcb": {"url": self.mcb.url, "token": "token-for-mcb", "timeout": "2s"},
            "wallet": {"url": self.wallet.url, "token": "token-for-wallet", "timeout": "2s"},
            "sdu": {"url": self.sdu.url, "token": "token-for-sdu", "signing_secret": new_secret()},
        }
        first = {
            "name": "kcell",
            "port": self.smsc.port,
            "password": "secret",
            "tps": 0,
            "prefixes": ["701"],
            "default": True,
        }
        other: dict[str, Any] = {}
        for table, values in changes.items():
            if table == "link":
                first |= values
            elif table == "other_link":
                other = {"default": False, "prefixes": ["777"], **values}
            else:
                tables[table] = {**tables.get(table, {}), **values}
        path = self.directory / "config.toml"
        links = [first, {**first, **other}] if other else [first]
        path.write_text(config_toml(**tables, links=links), encoding="utf-8")
        return config.load(path, environ={})

    async def stop(self) -> list[int]:
        """Stops all gateways; their exit statuses."""
        running, self.running = self.running, []
        return [await process.stop() for process in running if not process.task.done()]

    async def request(
        self, method: str, path: str, *, role: str = "ops", body: Any = None, **more: Any
    ) -> tuple[int, Any]:
        """(status, JSON) of the response of the first running gateway."""
        headers = {"Authorization": f"Bearer {TOKENS[role]}", **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        url = next(process.url for process in self.running if not process.task.done()) + path
        async with self.http.request(method, url, headers=headers, **more) as response:
            return response.status, await response.json(content_type=None)

    # Lists

    async def push(self, *families: Family, known: bool = True) -> str:
        """Pushes a list of these families; its list_id. With `known` the MCB learns their numbers."""
        if known:
            self.know(families)
        return await self.put([family.record() for family in families])

    async def put(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Pushes a list of these records, all of them valid; its list_id."""
        list_id = f"list-{next(self.lists)}"
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        status, accepted = await self.request(
            "PUT",
            f"/v1/lists/{list_id}",
            role="sdu",
            data=lines,
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert (status, accepted["accepted"]) == (201, len(records)), accepted
        return list_id

    def know(self, families: Iterable[Family]) -> None:
        for family in families:
            self.mcb.numbers |= {person: number for _, person, number in family.people}

    async def ask(self, *families: Family) -> None:
        """Pushes a list and returns once every mother has received the question and SDU the status asked."""
        await self.push(*families)
        for family in families:
            await self.smsc.message(family.number, containing="3#1", within=WITHIN)
            await self.status(family, "asked")

    async def text(self, family: Family, containing: str, *, nth: int = 1) -> Message:
        """The nth text that the family's handset has received."""
        return await self.smsc.message(family.number, containing=containing, nth=nth, within=WITHIN)

    async def let_replies_age(self) -> None:
        """Moves earlier replies three seconds back: equal ones are no duplicates of them any more."""
        await self.connection.execute("UPDATE replies SET arrived_at = arrived_at - interval '3 s'")
        await self.connection.execute(
            """UPDATE unacknowledged_periods
               SET began_at = began_at - interval '3 s', ended_at = ended_at - interval '3 s'"""
        )

    async def status(self, family: Family, status: str) -> Mapping[str, Any]:
        """The status event, once SDU has received it."""
        return await self.sdu.status(family.record_id, status, within=WITHIN)

    async def act(self, family: Family, what: str, body: Any = None) -> tuple[int, Any]:
        """A manual action on the case: cancel, release or resend."""
        return await self.request("POST", f"/v1/cases/{await self.case_id(family)}/{what}", body=body)

    # Rows

    async def case_id(self, family: Family) -> str:
        case_id: str | None = await self.connection.fetchval(
            "SELECT case_id FROM cases WHERE record_id = $1", family.record_id
        )
        assert case_id is not None, f"no case of {family.record_id}"
        return case_id

    async def case(self, family: Family) -> asyncpg.Record:
        """The case's row."""
        case: asyncpg.Record | None = await self.connection.fetchrow(
            "SELECT * FROM cases WHERE record_id = $1", family.record_id
        )
        assert case is not None, f"no case of {family.record_id}"
        return case

    async def journal(self, family: Family | None) -> list[tuple[str, dict[str, Any]]]:
        """(event, detail) of a case, or of no case, oldest first."""
        case_id = await self.case_id(family) if family is not None else None
        entries = await all_entries(self.connection)
        return [(entry.event, json.loads(entry.detail)) for entry in entries if entry.case_id == case_id]

    async def events(self, family: Family | None) -> list[str]:
        """The names of what was journaled of a case."""
        return [event for event, _ in await self.journal(family)]

    async def journaled(self, family: Family | None, event: str, *, nth: int = 1) -> dict[str, Any]:
        """The detail of the nth such entry, once it is there."""
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    self.journal_changed.clear()
                    found = [detail for name, detail in await self.journal(family) if name == event]
                    if len(found) >= nth:
                        return found[nth - 1]
                    await self.journal_changed.wait()
        except TimeoutError:
            raise AssertionError(f"no {event} in {await self.journal(family)}; {self.smsc.summary()}") from None

    def no_complaints(self) -> None:
        """Asserts that no simulator has seen a violation of its contract."""
        for partner in (self.smsc, self.mcb, self.wallet, self.sdu):
            assert partner.complaints == []


def metric(name: str, **labels: str) -> float:
    """The counter's value now; it grows over all tests of a process, so compare two readings."""
    return metrics.REGISTRY.get_sample_value(f"gateway_{name}", labels) or 0.0


async def set_due(connection: asyncpg.Connection, due_at: str, condition: str = "true") -> None:
    """Gives these cases another deadline; `due_at` and `condition` are SQL."""
    await change_rows(connection, f"UPDATE cases SET due_at = {due_at} WHERE {condition}")


async def eventually(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; for what a gateway counts or logs, of which there is no event."""
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def harness(database_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """Simulated partners that listen, and no gateway yet."""
    async with simulated_partners(database_url, tmp_path) as harness:
        yield harness


@asynccontextmanager
async def simulated_partners(database_url: str, directory: Path, schema: str = "") -> AsyncIterator[Harness]:
    """A harness whose gateways live in this schema, which is migrated; "": in `public`."""
    settings = {"search_path": schema} if schema else None
    connection = await asyncpg.connect(database_url, server_settings=settings)
    listener = await asyncpg.connect(database_url)
    journal_changed = asyncio.Event()
    await connection.execute(_NOTIFY_JOURNALED)
    await listener.add_listener("journaled", lambda *_: journal_changed.set())
    async with (
        SmscSimulator(password="secret") as smsc,
        McbSimulator(token="token-for-mcb") as mcb,
        WalletSimulator(token="token-for-wallet") as wallet,
        SduSimulator(token="token-for-sdu", secret=new_secret()) as sdu,
        aiohttp.ClientSession() as http,
    ):
        harness = Harness(
            database_url=database_url,
            directory=directory,
            connection=connection,
            smsc=smsc,
            mcb=mcb,
            wallet=wallet,
            sdu=sdu,
            http=http,
            journal_changed=journal_changed,
            schema=schema,
        )
        try:
            yield harness
        finally:
            try:
                await smsc.down()  # so that the stop waits for no response
                await harness.stop()
            finally:
                await listener.close()
                await connection.close()
