"""Lists that would fill the disk: too many errors, too many records, too little free space."""

import gzip
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import asyncpg
import orjson
import pytest

from gateway.components import Components
from gateway.config import Config
from gateway.intake.body import Body, Plain
from gateway.intake.reading import ListReader
from gateway.store import lists
from gateway.store.disk import DiskSpace, DiskSpaceError, Space
from gateway.store.lists import MAX_KEPT_ERRORS
from gateway.usecases.accept_list import AcceptList
from tests.api.apiclient import Api, ndjson
from tests.record_factories import good

MAX_RECORDS = 12
MEGABYTE = 1 << 20


class Disk:
    """A file system of 100 MB."""

    def __init__(self) -> None:
        self.free_bytes = 90 * MEGABYTE
        self.measured = 0
        self.fills_after: int | None = None  # measurements

    def __call__(self) -> Space:
        self.measured += 1
        if self.fills_after is not None and self.measured > self.fills_after:
            self.free_bytes = 0
        return Space(100 * MEGABYTE, self.free_bytes)


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, http=replace(config.http, max_list_records=MAX_RECORDS))


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def components(components: Components, disk: Disk) -> Components:
    c = components
    accept_list = AcceptList(
        database=c.database,
        node=c.node,
        clock=c.clock,
        calendar=c.calendar,
        wakeups=c.wakeups,
        disk=DiskSpace(disk),
    )
    return replace(c, accept_list=accept_list, policy=replace(c.policy, staged_batch=5))


async def chunks(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def read(components: Components, records: Sequence[bytes], max_records: int = 1 << 20) -> lists.StoredList:
    """The list, past the limit of HTTP."""
    reader = ListReader(components.accept_list, staged_batch=2_000, max_records=max_records)
    accepted = await reader.read("l", "3", chunks(records), Body(Plain(), 1 << 30))
    assert accepted is not None
    return accepted.stored


def many_faults(n: int) -> bytes:
    """A record of 1 KB with a hundred errors."""
    return orjson.dumps({f"f{number}": 0 for number in range(100)} | {"record_id": f"r-{n}"})


@pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines
async def test_the_first_10000_errors_of_a_list_are_kept_and_all_rejected_records_counted(
    components: Components, api: Api
) -> None:
    stored = await read(components, [many_faults(n) + b"\n" for n in range(1, 151)])
    assert (stored.records, stored.accepted, stored.rejected) == (150, 0, 150)
    errors = (await api.get("/v1/lists/l/errors")).lines
    assert len(errors) == MAX_KEPT_ERRORS
    assert [error["line"] for error in errors] == sorted(error["line"] for error in errors)
    assert (errors[0]["line"], errors[-1]["line"]) == (1, 100)


@pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines
async def test_errors_that_only_the_whole_list_shows_have_the_same_limit(components: Components, api: Api) -> None:
    line = orjson.dumps(good(1)) + b"\n"
    repeated, broken = MAX_KEPT_ERRORS + 500, [b"{\n"] * 20
    stored = await read(components, [line, *broken, *[line] * repeated, *broken])
    assert (stored.records, stored.accepted, stored.rejected) == (1 + repeated + 40, 1, repeated + 40)
    errors = (await api.get("/v1/lists/l/errors")).lines
    assert [error["line"] for error in errors] == list(range(2, MAX_KEPT_ERRORS + 2))
    assert {error["code"] for error in errors[:20]} == {"json"}
    assert {error["code"] for error in errors[20:]} == {"duplicate_record_id"}


@pytest.mark.parametrize("line", [orjson.dumps(good(1)), b"{", b'"' * 70_000], ids=["valid", "broken", "too long"])
async def test_a_list_with_too_many_records_is_413_and_leaves_no_row(
    components: Components, api: Api, line: bytes
) -> None:
    body = gzip.compress((line + b"\n\n") * 13)  # empty lines are no records
    pushed = await api.push(body, encoding="gzip")
    assert (pushed.status, pushed.json["detail"]) == (413, "A list may have 12 records.")
    assert await api.rows() == {}
    assert (await read(components, [line + b"\n"] * 12, max_records=12)).records == 12


async def test_a_list_that_free_space_cannot_hold_is_507_before_it_is_read(api: Api, disk: Disk) -> None:
    disk.free_bytes = 5 * MEGABYTE
    pushed = await api.push([good(1)])
    assert (pushed.status, pushed.headers["Retry-After"]) == (507, "30")
    assert [error["code"] for error in pushed.json["errors"]] == ["disk_space"]
    assert disk.measured == 1
    disk.free_bytes = 6 * MEGABYTE
    assert (await api.push([good(1)])).status == 201


async def test_a_list_that_free_space_can_no_longer_hold_is_507_while_it_is_read(api: Api, disk: Disk) -> None:
    disk.fills_after = 1
    body = ndjson([good(1, record_id=f"r-{number}") for number in range(10)])
    pushed = await api.push(gzip.compress(body), encoding="gzip")
    assert pushed.status == 507
    assert await api.rows() == {}
    disk.fills_after, disk.free_bytes = None, 90 * MEGABYTE
    assert (await api.push(gzip.compress(body), encoding="gzip")).status == 201, "the list_id is free"


async def test_a_disk_that_the_database_finds_full_is_507(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise asyncpg.DiskFullError

    monkeypatch.setattr(lists, "stage", fail)
    assert (await api.push([good(1)])).status == 507
    assert await api.rows() == {}


def test_lists_that_are_received_at_once_share_the_free_space() -> None:
    disk = DiskSpace(lambda: Space(100 * MEGABYTE, 50 * MEGABYTE))
    with disk.claim() as first:
        first.expect(10 * MEGABYTE)
        with disk.claim() as second, pytest.raises(DiskSpaceError):
            second.expect(10 * MEGABYTE)
        first.add(9 * MEGABYTE, 100)
    with disk.claim() as third:
        third.expect(10 * MEGABYTE)
        with pytest.raises(DiskSpaceError):
            third.add(1 * MEGABYTE, 30_000)


@pytest.mark.parametrize(
    ("total_bytes", "free_bytes", "is_enough"),
    [(100 << 20, 6 << 20, True), (100 << 20, 4 << 20, False), (1 << 40, 2 << 30, True), (1 << 40, 1 << 30, False)],
)
def test_a_share_of_the_disk_up_to_a_gigabyte_is_left_free(
    total_bytes: int, free_bytes: int, is_enough: bool
) -> None:
    outcome = nullcontext() if is_enough else pytest.raises(DiskSpaceError)
    with DiskSpace(lambda: Space(total_bytes, free_bytes)).claim() as claim, outcome:
        claim.add(1_000, 10)


def test_a_disk_that_cannot_be_measured_limits_no_list() -> None:
    with DiskSpace(lambda: None).claim() as claim:
        claim.expect(1 << 50)
