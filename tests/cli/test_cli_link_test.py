"""`gateway link-test` against the fake SMSC: what it learns of operators that differ, and how it ends."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.config import load
from gateway.operators.link_test import form, relation
from gateway.simulators.receipts import Receipts
from gateway.simulators.smsc import SmscSimulator

NUMBER = "77011234567"
CONFIG = """
[http]
tokens = {{ sdu = "env:NOT_SET", wallet = "env:NOT_SET", ops = "env:NOT_SET" }}
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
[mcb]
url = "http://127.0.0.1:9"
[wallet]
url = "http://127.0.0.1:9"
[[links]]
name = "kcell"
host = "127.0.0.1"
port = {port}
system_id = "gateway"
password = "{password}"
source = "1414"
response_timeout = "500ms"
"""

Act = Callable[[SmscSimulator], Coroutine[Any, Any, object]]
LinkTest = Callable[..., tuple[int, Any]]
"""Runs the command: its exit status, and its output, read as JSON where it is JSON."""


async def agree(smsc: SmscSimulator) -> None:
    """The telephone answers as soon as it has the long text."""
    await smsc.message(NUMBER, containing="Проверка связи")
    await smsc.reply(NUMBER, "3#1")


@contextmanager
def running(smsc: SmscSimulator, act: Act | None) -> Iterator[None]:
    """The SMSC in a thread of its own, and what its telephone does: the command has its own event loop."""
    up, down = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with smsc:
            up.set()
            if act is not None:
                smsc.start(act(smsc))
            await down.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(5)
        yield
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join()
        loop.close()


@pytest.fixture
def link_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> LinkTest:
    """Runs the command against that SMSC: its status, and what it said, read as JSON where there is any."""

    def run(
        smsc: SmscSimulator, *words: str, act: Act | None = agree, more: str = "", password: str = "secret"
    ) -> tuple[int, Any]:
        path = tmp_path / "config.toml"
        with running(smsc, act):
            path.write_text(CONFIG.format(port=smsc.port, password=password) + more, encoding="utf-8")
            status = main(["link-test", "kcell", "--config", str(path), "--to", "+7 701 123-45-67", *words])
        said = capsys.readouterr()
        assert smsc.complaints == []
        assert smsc.failures == []
        return status, json.loads(said.out) if said.out.startswith("{") else said.out + said.err

    return run


def test_a_link_as_configured_is_complete_and_the_lines_can_be_pasted(link_test: LinkTest, tmp_path: Path) -> None:
    status, shown = link_test(SmscSimulator(password="secret", receipts="delivered"), "--wait", "10")
    assert status == 0
    for line in ("bound to SMSC", "answer 3#1 from that telephone", "agree, data_coding 0, gsm7, TON 1, NPI 1"):
        assert line in shown
    lines = shown[shown.index("[[links]]") :].partition("gateway:")[0]
    assert lines.splitlines() == [
        "[[links]]",
        'name = "kcell"',
        'message_id = "exact"',
        'default_alphabet = "gsm7"',
        'long_messages = "udh8"',
        'receipts = "last"',
        "tps = 100",
    ]
    path = tmp_path / "config.toml"
    whole = path.read_text() + "".join(f"{line}\n" for line in lines.splitlines()[2:])
    path.write_text(whole)
    assert load(path, secrets=False).links[0].message_id == "exact"


@pytest.mark.parametrize(
    ("message_ids", "id_form", "learned"),
    [
        ("decimal", "same", ("decimal", "decimal", "exact")),
        ("hex", "dec", ("hexadecimal", "decimal", "hex-to-dec")),
        ("decimal", "hex", ("decimal", "hexadecimal", "dec-to-hex")),
        ("hex", "upper", ("hexadecimal", "hexadecimal", "exact")),
        ("decimal", "padded", ("decimal", "decimal", "exact")),
        ("uuid", "same", ("uuid", "uuid", "exact")),
    ],
)
def test_the_relation_of_ids_is_learned(
    link_test: LinkTest, message_ids: str, id_form: str, learned: tuple[str, str, str]
) -> None:
    smsc = SmscSimulator(message_ids=message_ids, receipts=Receipts(id_form=id_form), first_id=0xABCDE)
    status, said = link_test(smsc, "--json")
    assert status == 0
    assert (said["response_id"], said["receipt_id"], said["message_id"]) == learned
    assert said["config"]["message_id"] == learned[2]
    assert said["complete"] is True


@pytest.mark.parametrize(
    ("receipt_form", "learned"),
    [
        ("both", "text and TLVs, esm_class 0x04"),
        ("tlvs", "TLVs, esm_class 0x04"),
        ("text", "text, esm_class 0x04"),
    ],
)
def test_the_format_of_receipts_is_learned(link_test: LinkTest, receipt_form: str, learned: str) -> None:
    status, said = link_test(SmscSimulator(receipts=Receipts(form=receipt_form)), "--json")
    assert (status, said["receipt_format"], said["short"], said["long"]) == (0, learned, "delivered", "delivered")


def test_receipts_before_the_response_are_matched(link_test: LinkTest) -> None:
    status, said = link_test(SmscSimulator(receipts=Receipts(before_response=True)), "--json")
    assert (status, said["stray_receipts"]) == (0, 0)


@pytest.mark.parametrize(
    ("encoding", "coding", "alphabet"),
    [("packed", 0, "packed"), ("gsm7", 0, "gsm7"), ("ucs2", 8, None), ("ascii", 1, None), ("cyrillic", 6, None)],
)
def test_the_alphabet_of_the_reply_is_learned(
    link_test: LinkTest, encoding: str, coding: int, alphabet: str | None
) -> None:
    async def answer(smsc: SmscSimulator) -> None:
        await smsc.message(NUMBER, containing="Проверка связи")
        await smsc.reply("8" + NUMBER[1:], "3#2", encoding=encoding)

    status, said = link_test(SmscSimulator(receipts="delivered"), "--json", act=answer)
    assert (status, said["reply_coding"], said["alphabet"]) == (0, coding, alphabet)
    assert said["config"]["default_alphabet"] == (alphabet or "gsm7")
    assert said["reply_verdict"] == "refuse"


def test_the_configured_alphabet_is_kept_where_it_reads_as_well(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    status, said = link_test(smsc, "--json", more='default_alphabet = "latin1"\n')
    assert (status, said["config"]["default_alphabet"]) == (0, "latin1")


def test_the_long_text_goes_as_configured_and_both_sessions_of_a_pair_are_bound(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    more = 'bind = "transmitter+receiver"\nlong_messages = "sar"\nreceipts = "all"\nsessions = 3\n'
    status, said = link_test(smsc, "--json", more=more)
    assert (status, said["segments"]) == (0, 3)
    assert sorted(session.role or "" for session in smsc.connections) == ["receiver", "transmitter"]
    assert all(segment.registered_delivery for segment in smsc.submitted)
    assert len(smsc.delivered) == 1 + 1 + 3


def test_the_throttling_point_is_found_when_asked_for(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered", tps=30)
    status, said = link_test(smsc, "--json", "--find-throttle", "200")
    assert status == 0
    assert 26 <= said["throttled_at"] <= 30  # the two texts may lie in the same second
    assert said["config"]["tps"] == said["throttled_at"]
    assert smsc.throttled


def test_an_smsc_that_does_not_throttle_leaves_tps_as_it_is(link_test: LinkTest) -> None:
    status, said = link_test(SmscSimulator(receipts="delivered"), "--json", "--find-throttle", "20")
    assert (status, said["throttled_at"], said["burst"], said["config"]["tps"]) == (0, None, 20, 100)


def test_no_burst_unless_asked_for(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    link_test(smsc)
    assert len(smsc.submitted) == 1 + 3


@pytest.mark.parametrize(
    ("receipts", "act", "what", "became"),
    [
        ("none", agree, "short", "accepted"),
        ("undeliverable", agree, "long", "undeliverable"),
        ("delivered", None, "reply_verdict", None),
    ],
)
def test_what_does_not_come_is_not_complete(
    link_test: LinkTest, receipts: str, act: Act | None, what: str, became: str | None
) -> None:
    status, said = link_test(SmscSimulator(receipts=receipts), "--json", "--wait", "0.5", act=act)
    assert (status, said[what], said["complete"]) == (1, became, False)


def test_without_receipts_asked_for_none_is_missed(link_test: LinkTest) -> None:
    status, said = link_test(SmscSimulator(), "--json", more='receipts = "none"\n')
    assert (status, said["short"], said["long"]) == (0, "accepted", "accepted")


def test_a_refusal_is_told_by_its_name(link_test: LinkTest) -> None:
    smsc = SmscSimulator(rules=["refuse"])
    status, said = link_test(smsc, "--json", "--wait", "0.5", act=None)
    assert (status, said["short"]) == (1, "ESME_RINVDSTADR")


def test_texts_that_nobody_answers_are_told(link_test: LinkTest) -> None:
    status, said = link_test(SmscSimulator(rules=["no_answer"]), "--json", "--wait", "2", act=None)
    assert (status, said["short"], said["long"], said["response_in"]) == (1, "no response", "no response", None)


def test_a_receipt_for_an_unknown_id_is_told(link_test: LinkTest) -> None:
    async def stray(smsc: SmscSimulator) -> None:
        await smsc.bound()
        await smsc.receipt("unacknowledged-of")
        await agree(smsc)

    status, said = link_test(SmscSimulator(receipts="delivered"), "--json", act=stray)
    assert (status, said["stray_receipts"]) == (1, 1)


def test_a_bind_refused_is_one_line(link_test: LinkTest) -> None:
    status, said = link_test(SmscSimulator(password="another"), act=None)
    assert (status, said) == (1, "gateway: the SMSC refuses the bind: ESME_RINVPASWD\n")


def test_a_silent_smsc_is_one_line(link_test: LinkTest) -> None:
    smsc = SmscSimulator()
    smsc.refuse_binds(None)
    status, said = link_test(smsc, act=None)
    assert status == 1
    assert said == f"gateway: 127.0.0.1:{smsc.port} has not answered the bind in 0.5 s\n"


def test_nobody_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=9, password="secret"), encoding="utf-8")
    assert main(["link-test", "kcell", "--config", str(path), "--to", NUMBER]) == 1
    assert capsys.readouterr().err.startswith("gateway: 127.0.0.1:9 cannot be reached: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["beeline", "--to", NUMBER], "there is no link beeline; there are kcell"),
        (["kcell", "--to", "+79161234567"], "--to: +79161234567 is no Kazakh mobile number"),
    ],
)
def test_wrong_names_and_numbers_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=9, password="secret"), encoding="utf-8")
    assert main(["link-test", *words, "--config", str(path)]) == 1
    assert capsys.readouterr().err == f"gateway: {said}\n"


def test_a_password_that_is_not_to_be_had_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=9, password="env:NOT_SET_EITHER"), encoding="utf-8")
    assert main(["link-test", "kcell", "--config", str(path), "--to", NUMBER]) == 1
    assert "links.kcell.password" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("response_id", "receipt_id", "how"),
    [
        ("100", "100", "exact"),
        ("00Ab", "aB", "exact"),
        ("ff", "255", "hex-to-dec"),
        ("255", "FF", "dec-to-hex"),
        ("255", "254", None),
        ("x-1", "1", None),
    ],
)
def test_relations_of_ids(response_id: str, receipt_id: str, how: str | None) -> None:
    assert relation(response_id, receipt_id) == how


@pytest.mark.parametrize(
    ("message_id", "looks"),
    [
        ("0012", "decimal"),
        ("00fA", "hexadecimal"),
        ("123e4567-e89b-12d3-a456-426614174000", "uuid"),
        ("a:b", "other"),
        ("", "empty"),
    ],
)
def test_forms_of_ids(message_id: str, looks: str) -> None:
    assert form(message_id) == looks
