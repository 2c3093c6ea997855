"""The commands that call a running gateway: a process with its own database."""

import asyncio
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import asyncpg
import pytest

from gateway.cli import ask, main
from gateway.consent.details import Reason
from gateway.consent.events import Event, EventType
from gateway.consent.identity import iin_fault
from gateway.simulators.configuration import config_toml
from gateway.store import journal
from tests.conftest import fresh_database
from tests.record_factories import good as good_of

_numbers = itertools.count(100)
ROOT = Path(__file__).parents[2]
CONFIG = config_toml(
    http={
        "port": 0,
        "tokens": {"sdu": "sdu-token-of-tests", "wallet": "wallet-token-of-tests", "ops": "ops-token-of-tests"},
    },
    mcb={"url": "http://127.0.0.1:9", "token": "t"},
    wallet={"url": "http://127.0.0.1:9", "token": "t"},
    links=[{"name": "kcell", "port": 9, "password": "secret"}],
)


def good(number: int) -> dict[str, Any]:
    """A valid record; every number has its own pupil."""
    digits = (f"1311066{number:04}{last}" for last in range(10))
    iin = next((iin for iin in digits if iin_fault(iin) is None), None)
    record = good_of()
    record["pupil"]["iin"] = iin or good(number + 5000)["pupil"]["iin"]  # some digits have no valid check digit
    return record


@pytest.fixture(scope="module")
def its_database(postgres: str) -> Iterator[str]:
    """The address of the gateway's database."""
    with asyncio.Runner() as runner:
        database = fresh_database(postgres)
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def gateway(its_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running gateway. After the tests SIGTERM stops it with status 0."""
    config = tmp_path_factory.mktemp("cli") / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "GATEWAY_DATABASE": its_database},
    )  # fmt: skip
    assert process.stdout is not None
    records = (json.loads(line) for line in process.stdout)
    port = next(record["port"] for record in records if record["event"] == "http_serving")
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    process.stdout.close()


@pytest.fixture
def sdu(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", gateway)
    monkeypatch.setenv("GATEWAY_TOKEN", "sdu-token-of-tests")


@pytest.fixture
def ops(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", gateway)
    monkeypatch.setenv("GATEWAY_TOKEN", "ops-token-of-tests")


Captured = pytest.CaptureFixture[str]


def json_of(capsys: Captured, *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


ALL_PARKED = {"list_id": None, "state": "parked", "after": None, "limit": 1000}


def paged(capsys: Captured, command: Callable[[Namespace, int], int], **arguments: object) -> Any:
    """The JSON of a command that has one case on each page."""
    of_every = {"json": True, "url": None, "config": "config.toml"}
    assert command(Namespace(**of_every, **arguments), 1) == 0
    return json.loads(capsys.readouterr().out)


def written(path: Path, *records: object) -> str:
    path.write_bytes("".join(json.dumps(record) + "\n" for record in records).encode())
    return str(path)


NewCase = Callable[[], str]


@pytest.fixture
def case_id(new_case: NewCase) -> str:
    """The case_id of a new case with its own pupil."""
    return new_case()


@pytest.fixture
def new_case(
    gateway: str, ops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> NewCase:
    """Opens a case with its own list and its own pupil."""
    return lambda: open_case(gateway, tmp_path, monkeypatch, capsys)


def open_case(gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> str:
    """Opens a case; its case_id."""
    number = next(_numbers)
    with monkeypatch.context() as as_sdu:
        as_sdu.setenv("GATEWAY_TOKEN", "sdu-token-of-tests")
        assert main(["push", written(tmp_path / f"case-{number}.ndjson", good(number))]) == 0
    capsys.readouterr()
    query = urlencode({"list_id": f"case-{number}", "record_id": good(number)["record_id"]})
    request = Request(f"{gateway}/v1/cases?{query}", headers={"Authorization": "Bearer ops-token-of-tests"})
    with urlopen(request) as response:
        found: str = json.load(response)["cases"][0]["case_id"]
    return found


PARK = """
WITH parked AS (
    UPDATE cases SET state = 'parked', resume = 'looking_up' WHERE case_id = $1 RETURNING case_id, list_id
), counted AS (
    INSERT INTO progress SELECT list_id, move.* FROM parked, (VALUES ('looking_up', -1), ('parked', 1)) AS move
), found AS (
    INSERT INTO cases_for_ops (reason, list_id, case_id) SELECT 'parked', list_id, case_id FROM parked
)
DELETE FROM calls WHERE case_id = $1
"""

Park = Callable[[str], str]


@pytest.fixture
def park(its_database: str, capsys: Captured) -> Park:
    """Parks a case, as after a look-up that the MCB refused; its list_id."""

    async def carry_out(case_id: str) -> None:
        connection = await asyncpg.connect(its_database)
        try:
            await connection.execute(PARK, case_id)
            parked = journal.entry(datetime.now(UTC), case_id, Event(EventType.PARKED, Reason("mcb: 403")))
            await journal.append(connection, [parked])
        finally:
            await connection.close()

    def park(case_id: str) -> str:
        asyncio.run(carry_out(case_id))
        shown = json_of(capsys, "case", case_id)  # seals the reason
        assert shown["state"] == "parked"
        list_id: str = shown["list_id"]
        return list_id

    return park


HOLD = """
WITH held AS (
    UPDATE cases SET state = 'asked', msisdn = '77011234567', operator = 'kcell', held = 'refuse'
    WHERE case_id = $1 RETURNING case_id, list_id
), counted AS (
    INSERT INTO progress SELECT list_id, move.* FROM held, (VALUES ('looking_up', -1), ('asked', 1)) AS move
), found AS (
    INSERT INTO cases_for_ops (reason, list_id, case_id) SELECT 'held', list_id, case_id FROM held
), called AS (
    DELETE FROM calls WHERE case_id = $1
)
INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                     normalised, rule_version, held, received_at)
SELECT case_id, 'tele2', '77011234567', '1414', '3#2', 0, '', 'refuse', false, '1', true, clock_timestamp()
FROM held
"""


@pytest.fixture
def held_case(its_database: str, case_id: str) -> str:
    """A case that is asked, and of which a refusal by another operator's link is held; its case_id."""

    async def carry_out() -> None:
        connection = await asyncpg.connect(its_database)
        try:
            await connection.execute(HOLD, case_id)
        finally:
            await connection.close()

    asyncio.run(carry_out())
    return case_id


# push


@pytest.mark.usefixtures("sdu")
def test_push_with_a_rejected_line_exits_with_status_1_and_a_table(tmp_path: Path, capsys: Captured) -> None:
    invalid = good(2)
    invalid["mother"]["iin"] = "870312497006"
    assert main(["push", written(tmp_path / "2026-11-22-a.ndjson", good(1), invalid)]) == 1
    output = capsys.readouterr()
    assert "2026-11-22-a: 2 records, 1 accepted, 0 duplicates, 1 rejected" in output.out
    assert "/mother/iin" in output.out
    assert "iin_checksum" in output.out
    assert "2026-11-22-a: sent, being accepted" in output.err


@pytest.mark.usefixtures("sdu")
def test_push_with_a_duplicate_exits_with_status_0_also_for_gzip(tmp_path: Path, capsys: Captured) -> None:
    path = Path(written(tmp_path / "plain.ndjson", good(3)))
    zipped = tmp_path / "zipped.ndjson.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert json_of(capsys, "push", str(path))["accepted"] == 1
    assert json_of(capsys, "push", str(zipped))["duplicates"] == 1
    again = json_of(capsys, "push", str(zipped), "--list-id", "plain")
    assert (again["list_id"], again["accepted"]) == ("plain", 1)


@pytest.mark.usefixtures("sdu")
def test_push_of_another_body_under_a_list_id_is_a_one_line_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["push", written(tmp_path / "same-id.ndjson", good(4))]) == 0
    capsys.readouterr()
    assert main(["push", written(tmp_path / "same-id.ndjson", good(5))]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "gateway: Another list was accepted under this list_id."


@pytest.mark.usefixtures("sdu")
def test_push_for_an_unknown_service_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["push", written(tmp_path / "nine.ndjson", good(6)), "--service", "9"]) == 1
    assert "service" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("ops")
def test_push_with_a_token_of_another_role_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    assert main(["push", written(tmp_path / "ops.ndjson", good(7))]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("gateway: ")


def test_an_unknown_token_is_a_one_line_error(
    gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "unknown")
    assert main(["lists", "--url", gateway]) == 1
    assert capsys.readouterr().err == f"gateway: the gateway at {gateway} rejects the token: set GATEWAY_TOKEN\n"


# questions


def test_lists_command_shows_all_lists(case_id: str, capsys: Captured) -> None:
    listed = [one["list_id"] for one in json_of(capsys, "lists")["lists"]]
    assert any(list_id.startswith("case-") for list_id in listed)
    assert main(["lists"]) == 0
    assert listed[0] in capsys.readouterr().out


def test_status_command_shows_the_cases_of_a_list_by_state(case_id: str, capsys: Captured) -> None:
    list_id = json_of(capsys, "case", case_id)["list_id"]
    shown = json_of(capsys, "status", list_id)
    assert sum(shown["progress"].values()) == shown["accepted"] == 1
    assert main(["status", list_id]) == 0
    output = capsys.readouterr().out
    assert "looking_up" in output
    assert "100.0%" in output


def test_case_command_shows_a_case_with_its_journal(case_id: str, capsys: Captured) -> None:
    assert json_of(capsys, "case", case_id)["state"] == "looking_up"
    assert main(["case", case_id]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"{case_id}: looking_up\n")
    assert "ended not yet" in output


def test_links_command_shows_links_with_their_queues(ops: None, capsys: Captured) -> None:
    assert [link["link"] for link in json_of(capsys, "links")["links"]] == ["kcell"]
    assert main(["links"]) == 0
    assert "kcell" in capsys.readouterr().out


def test_bind_now_command_has_a_link_bind_at_once(ops: None, capsys: Captured) -> None:
    assert json_of(capsys, "bind-now", "kcell")["link"] == "kcell"
    assert main(["bind-now", "kcell"]) == 0
    assert capsys.readouterr().out.startswith("kcell: ")
    assert main(["bind-now", "tele2"]) == 1
    assert "no such link" in capsys.readouterr().err


def test_status_command_shows_parked_cases_with_their_reason(case_id: str, park: Park, capsys: Captured) -> None:
    list_id = park(case_id)
    assert main(["status", list_id]) == 0
    output = capsys.readouterr().out
    assert case_id in output
    assert "mcb: 403" in output
    assert set(json_of(capsys, "status", list_id)["progress"].values()) == {0, 1}


def test_cases_command_shows_parked_cases_of_one_list_or_of_all(
    new_case: NewCase, park: Park, capsys: Captured
) -> None:
    first, second = new_case(), new_case()
    list_id = park(first)
    park(second)
    everywhere = json_of(capsys, "cases", "--state", "parked", "--limit", "1000")
    assert {first, second} <= {case["case_id"] for case in everywhere["cases"]}
    (case,) = json_of(capsys, "cases", list_id, "--state", "parked")["cases"]
    assert (case["case_id"], case["parked"]["reason"]) == (first, "mcb: 403")
    assert main(["cases", "--state", "parked"]) == 0
    assert "mcb: 403" in capsys.readouterr().out


def test_cases_command_pages_without_gaps(new_case: NewCase, park: Park, capsys: Captured) -> None:
    for _ in range(3):
        park(new_case())
    together = json_of(capsys, "cases", "--state", "parked")["cases"]
    assert paged(capsys, ask.cases, **ALL_PARKED) == {"cases": together, "next": None}
    first = paged(capsys, ask.cases, **ALL_PARKED | {"limit": 2})
    others = paged(capsys, ask.cases, **ALL_PARKED | {"after": first["next"]})
    assert first["cases"] + others["cases"] == together
    assert others["next"] is None
    assert main(["cases", "--state", "parked", "--limit", "2"]) == 0
    assert f"there may be more: --after {first['next']}" in capsys.readouterr().out


def test_cases_command_shows_the_cases_of_a_list_by_state(case_id: str, capsys: Captured) -> None:
    list_id = json_of(capsys, "case", case_id)["list_id"]
    for words, number in ((["cases", list_id], 1), (["cases", list_id, "--state", "refused"], 0)):
        assert len(json_of(capsys, *words)["cases"]) == number
    assert main(["cases", list_id]) == 0
    assert case_id in capsys.readouterr().out


@pytest.mark.usefixtures("ops")
def test_cases_command_with_an_incomplete_query_is_an_error(capsys: Captured) -> None:
    for words in (["cases"], ["cases", "--state", "asked"], ["cases", "list", "--state", "lost"]):
        assert main(words) == 1
        assert capsys.readouterr().err.startswith("gateway: ")


@pytest.mark.usefixtures("ops")
def test_an_unknown_case_or_list_is_a_one_line_error(capsys: Captured) -> None:
    for words in (["case", "01KAN00000000000000000000A"], ["case", "a/b?c"]):
        assert main(words) == 1
        told = "gateway: There is no such case: `gateway cases LIST` shows those of a list\n"
        assert capsys.readouterr().err == told
    for words in (["status", "none"], ["cases", "none"], ["release", "--list", "none"]):
        assert main(words) == 1
        assert capsys.readouterr().err == "gateway: There is no such list: `gateway lists` shows those there are\n"


def test_cases_command_shows_held_replies_of_all_lists(held_case: str, capsys: Captured) -> None:
    found = json_of(capsys, "cases", "--state", "held")["cases"]
    (held,) = [case["held"] for case in found if case["case_id"] == held_case]
    assert (held["link"], held["operator"], held["verdict"]) == ("tele2", "kcell", "refuse")
    assert main(["cases", "--state", "held"]) == 0
    assert "Held replies" in capsys.readouterr().out
    assert main(["case", held_case]) == 0
    assert "a reply is held: refuse, by tele2; the number is of kcell" in capsys.readouterr().out


# acts


def test_accept_reply_command_counts_a_held_reply_once(held_case: str, capsys: Captured) -> None:
    assert json_of(capsys, "accept-reply", held_case)["state"] == "refused"
    assert main(["accept-reply", held_case]) == 1
    assert capsys.readouterr().err == "gateway: The case has its refusal: a reply was counted already.\n"


def test_accept_reply_of_a_case_without_a_held_reply_is_an_error(case_id: str, capsys: Captured) -> None:
    assert main(["accept-reply", case_id]) == 1
    assert capsys.readouterr().err == "gateway: No reply of the case is held.\n"


def test_cancel_command_ends_a_case_once(case_id: str, capsys: Captured) -> None:
    ended = json_of(capsys, "cancel", case_id, "--reason", "moved [away]")
    assert ended["state"] == "cancelled"
    assert main(["case", case_id]) == 0
    assert "moved [away]" in capsys.readouterr().out
    assert main(["cancel", case_id]) == 1
    assert capsys.readouterr().err.startswith("gateway: The case has ended")


def test_release_of_a_case_that_is_not_parked_is_an_error(case_id: str, capsys: Captured) -> None:
    assert main(["release", case_id]) == 1
    assert capsys.readouterr().err == "gateway: The case is not parked.\n"


def test_release_of_a_list_releases_only_its_parked_cases(new_case: NewCase, park: Park, capsys: Captured) -> None:
    first, second = new_case(), new_case()
    list_id = park(first)
    park(second)
    assert json_of(capsys, "release", "--list", list_id) == {"released": 1}
    assert json_of(capsys, "case", first)["state"] == "looking_up"
    assert json_of(capsys, "case", second)["state"] == "parked"
    assert main(["release", "--list", list_id]) == 0
    assert capsys.readouterr().out == "Nothing is parked.\n"


def test_release_of_all_releases_every_page_of_parked_cases(
    new_case: NewCase, park: Park, capsys: Captured
) -> None:
    case_ids = [new_case() for _ in range(3)]
    for case_id in case_ids:
        park(case_id)
    assert paged(capsys, ask.release, case_id=None, all=True, list=None, yes=True)["released"] >= 3
    assert {json_of(capsys, "case", case_id)["state"] for case_id in case_ids} == {"looking_up"}
    assert json_of(capsys, "cases", "--state", "parked") == {"cases": [], "next": None}


@pytest.mark.parametrize("words", [[], ["01KAN00000000000000000000A", "--all"], ["--list", "a", "--all"]])
def test_release_takes_exactly_one_of_case_list_or_all(words: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as invalid:
        main(["release", *words])
    assert invalid.value.code == 2
    assert "usage: gateway release" in capsys.readouterr().err


def test_resend_of_a_case_without_a_text_is_an_error(case_id: str, capsys: Captured) -> None:
    assert main(["resend", case_id]) == 1
    assert capsys.readouterr().err == "gateway: The case has no text to send again.\n"
