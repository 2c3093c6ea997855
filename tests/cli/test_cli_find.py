"""`gateway find`: what is searched for comes from standard input, never from the arguments."""

import asyncio
import io
import json

import pytest

from gateway.cli import main
from tests.api.apiclient import Api
from tests.api.conftest import api, caller, components, config, http_policy, policy
from tests.record_factories import MOTHER, good

__all__ = ["api", "caller", "components", "config", "http_policy", "policy"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def find(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    stdin: io.StringIO,
    *arguments: str,
    token: str = "ops-token-of-tests",
) -> int:
    """The status of the command."""
    monkeypatch.setenv("GATEWAY_URL", f"http://127.0.0.1:{api.call.port}")
    monkeypatch.setenv("GATEWAY_TOKEN", token)
    monkeypatch.setattr("sys.stdin", stdin)
    return await asyncio.to_thread(main, ["find", *arguments])


async def test_find_shows_the_cases_of_a_person_as_a_table_and_as_json(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.push([good(1)])
    capsys.readouterr()
    case_id = await api.case_id()
    assert await find(api, monkeypatch, io.StringIO(f"{MOTHER}\nmore\n"), "--iin") == 0
    shown = capsys.readouterr()
    assert case_id in shown.out
    assert "the index of people is being filled" in shown.out
    assert MOTHER not in shown.out + shown.err  # the log of the gateway is in it, too
    assert await find(api, monkeypatch, Terminal(f" {MOTHER} "), "--iin", "--json", "--service", "3") == 0
    shown = capsys.readouterr()
    assert shown.err == "IIN: "
    assert [case["case_id"] for case in json.loads(shown.out.splitlines()[-1])["cases"]] == [case_id]


async def test_find_reports_an_invalid_iin_or_number(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert await find(api, monkeypatch, io.StringIO("77011234567"), "--msisdn") == 0
    assert capsys.readouterr().out.endswith("There are none.\n")
    assert await find(api, monkeypatch, io.StringIO("870312497006"), "--iin") == 0
    assert "the check digit of the IIN is wrong" in capsys.readouterr().out
    for stdin, expected in (("", "no Number"), ("123", "must be a Kazakh mobile number")):
        assert await find(api, monkeypatch, io.StringIO(stdin), "--msisdn") == 1
        assert expected in capsys.readouterr().err
    assert await find(api, monkeypatch, io.StringIO(MOTHER), "--iin", token="sdu-token-of-tests") == 1
    assert "not for the role sdu" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["find", "--iin", MOTHER])
