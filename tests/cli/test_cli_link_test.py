"""`gateway link-test` against the SMSC simulator: what it learns of different operators, and its exit status."""

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.config import load
from gateway.operators.link_advice import on_states
from gateway.operators.link_test import MAX_KEPT, form, relation
from gateway.simulators.receipts import Receipts
from gateway.simulators.smsc import SmscSimulator
from gateway.smpp.receipt import MessageState, Receipt

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
    """The handset replies as soon as it has the long text."""
    await smsc.message(NUMBER, containing="Проверка связи")
    await smsc.reply(NUMBER, "3#1")


@contextmanager
def running(smsc: SmscSimulator, act: Act | None) -> Iterator[None]:
    """The SMSC and the actions of its handset, in a thread: the command has its own event loop."""
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
    """Runs the command against that SMSC: (exit status, output, read as JSON where it is JSON)."""

    def run(
        smsc: SmscSimulator, *words: str, act: Act | None = agree, more: str = "", password: str = "secret"
    ) -> tuple[int, Any]:
        path = tmp_path / "config.toml"
        with running(smsc, act):
            path.write_text(CONFIG.format(port=smsc.port, password=password) + more, encoding="utf-8")
            status = main(["link-test", "kcell", "--config", str(path), "--to", "+7 701 123-45-67", *words])
        output = capsys.readouterr()
        assert smsc.complaints == []
        assert smsc.failures == []
        return status, json.loads(output.out) if output.out.startswith("{") else output.out + output.err

    return run


def test_link_test_of_a_complete_link_prints_valid_configuration_lines(
    link_test: LinkTest, tmp_path: Path
) -> None:
    status, shown = link_test(SmscSimulator(password="secret", receipts="delivered"), "--wait", "10")
    assert status == 0
    for line in ("bound to SMSC", "reply 3#1 from that telephone", "agree, data_coding 0, gsm7, TON 1, NPI 1"):
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


def test_the_name_of_an_smsc_moves_nothing_on_the_terminal(link_test: LinkTest) -> None:
    smsc = SmscSimulator(password="secret", receipts="delivered", system_id="\x1b]0;x\x07\x1b[2J\r\n")
    status, shown = link_test(smsc, "--wait", "10")
    assert status == 0
    assert r"bound to \x1b]0;x\x07\x1b[2J\r\n in " in shown
    assert all(line.isprintable() for line in shown.splitlines())


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
def test_link_test_learns_the_relation_of_message_ids(
    link_test: LinkTest, message_ids: str, id_form: str, learned: tuple[str, str, str]
) -> None:
    smsc = SmscSimulator(message_ids=message_ids, receipts=Receipts(id_form=id_form), first_id=0xABCDE)
    status, output = link_test(smsc, "--json")
    assert status == 0
    assert (output["response_id"], output["receipt_id"], output["message_id"]) == learned
    assert output["config"]["message_id"] == learned[2]
    assert output["complete"] is True


@pytest.mark.parametrize(
    ("receipt_form", "learned"),
    [
        ("both", "text and TLVs, esm_class 0x04"),
        ("tlvs", "TLVs, esm_class 0x04"),
        ("text", "text, esm_class 0x04"),
    ],
)
def test_link_test_learns_the_format_of_receipts(link_test: LinkTest, receipt_form: str, learned: str) -> None:
    status, output = link_test(SmscSimulator(receipts=Receipts(form=receipt_form)), "--json")
    assert (status, output["receipt_format"], output["short"], output["long"]) == (
        0,
        learned,
        "delivered",
        "delivered",
    )


def test_link_test_matches_receipts_before_the_response(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(receipts=Receipts(before_response=True)), "--json")
    assert (status, output["stray_receipts"]) == (0, 0)


@pytest.mark.parametrize(
    ("encoding", "coding", "alphabet", "habits"),
    [
        ("packed", 0, "packed", ""),
        ("gsm7", 0, "gsm7", ""),
        ("gsm7", 0, "gsm7", "nul_terminated"),
        ("ucs2", 8, None, ""),
        ("ascii", 1, None, ""),
        ("cyrillic", 6, None, ""),
    ],
)
def test_link_test_learns_the_alphabet_of_the_reply(
    link_test: LinkTest, encoding: str, coding: int, alphabet: str | None, habits: str
) -> None:
    async def reply(smsc: SmscSimulator) -> None:
        await smsc.message(NUMBER, containing="Проверка связи")
        await smsc.reply("8" + NUMBER[1:], "3#2", encoding=encoding)

    smsc = SmscSimulator(receipts="delivered", habits=habits)
    status, output = link_test(smsc, "--json", act=reply)
    assert (status, output["reply_coding"], output["alphabet"]) == (0, coding, alphabet)
    assert output["config"]["default_alphabet"] == (alphabet or "gsm7")
    assert output["reply_verdict"] == "refuse"


def test_link_test_keeps_a_configured_alphabet_that_decodes_the_reply(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    status, output = link_test(smsc, "--json", more='default_alphabet = "latin1"\n')
    assert (status, output["config"]["default_alphabet"]) == (0, "latin1")


def test_link_test_sends_the_long_text_as_configured_and_binds_both_sessions_of_a_pair(
    link_test: LinkTest,
) -> None:
    smsc = SmscSimulator(receipts="delivered")
    more = 'bind = "transmitter+receiver"\nlong_messages = "sar"\nreceipts = "all"\nsessions = 3\n'
    status, output = link_test(smsc, "--json", more=more)
    assert (status, output["segments"]) == (0, 3)
    assert sorted(session.role or "" for session in smsc.connections) == ["receiver", "transmitter"]
    assert all(segment.registered_delivery for segment in smsc.submitted)
    assert len(smsc.delivered) == 1 + 1 + 3


def test_link_test_finds_the_throttling_point_when_requested(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered", tps=30)
    status, output = link_test(smsc, "--json", "--find-throttle", "200")
    assert status == 0
    assert 26 <= output["throttled_at"] <= 30  # the two texts may fall into the same second
    assert output["config"]["tps"] == output["throttled_at"]
    assert smsc.throttled


def test_link_test_without_throttling_keeps_the_configured_tps(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(receipts="delivered"), "--json", "--find-throttle", "20")
    assert (status, output["throttled_at"], output["burst"], output["config"]["tps"]) == (0, None, 20, 100)


def test_link_test_sends_no_burst_unless_requested(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    link_test(smsc)
    assert len(smsc.submitted) == 1 + 3


@pytest.mark.parametrize(
    ("receipts", "act", "what", "state"),
    [
        ("none", agree, "short", "accepted"),
        ("undeliverable", agree, "long", "undeliverable"),
        ("delivered", None, "reply_verdict", None),
    ],
)
def test_link_test_without_a_receipt_or_reply_is_not_complete(
    link_test: LinkTest, receipts: str, act: Act | None, what: str, state: str | None
) -> None:
    status, output = link_test(SmscSimulator(receipts=receipts), "--json", "--wait", "0.5", act=act)
    assert (status, output[what], output["complete"]) == (1, state, False)


def test_link_test_with_receipts_off_is_complete_without_receipts(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(), "--json", more='receipts = "none"\n')
    assert (status, output["short"], output["long"]) == (0, "accepted", "accepted")


def test_link_test_reports_a_refusal_by_the_name_of_its_status(link_test: LinkTest) -> None:
    smsc = SmscSimulator(rules=["refuse"])
    status, output = link_test(smsc, "--json", "--wait", "0.5", act=None)
    assert (status, output["short"]) == (1, "ESME_RINVDSTADR")


def test_link_test_reports_texts_without_response(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(rules=["no_answer"]), "--json", "--wait", "2", act=None)
    assert (status, output["short"], output["long"], output["response_in"]) == (
        1,
        "no response",
        "no response",
        None,
    )


def test_link_test_reports_a_receipt_with_an_unknown_message_id(link_test: LinkTest) -> None:
    async def stray(smsc: SmscSimulator) -> None:
        await smsc.bound()
        await smsc.receipt("unknown-id")
        await agree(smsc)

    status, output = link_test(SmscSimulator(receipts="delivered"), "--json", act=stray)
    assert (status, output["stray_receipts"]) == (1, 1)


def test_link_test_keeps_some_of_a_flood_of_receipts_and_unexpected_pdus(link_test: LinkTest) -> None:
    async def flood(smsc: SmscSimulator) -> None:
        (session,) = await smsc.bound()
        for _ in range(3 * MAX_KEPT):
            await smsc.receipt("unknown-id")
        await smsc.send_raw(struct.pack(">IIII", 16, 0x80000004, 0, 1) * (3 * MAX_KEPT), via=session)
        await agree(smsc)

    status, output = link_test(SmscSimulator(receipts="delivered"), "--json", "--wait", "5", act=flood)
    assert (status, output["stray_receipts"], len(output["unexpected"])) == (1, MAX_KEPT, MAX_KEPT)


def test_link_test_reports_a_refused_bind_in_one_line(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(password="another"), act=None)
    assert (status, output) == (1, "gateway: the SMSC refuses the bind: ESME_RINVPASWD: try password\n")


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("RBINDFAIL", ("host", "one more session", "stale bind", "address_range, system_type, interface_version")),
        ("RALYBND", ("stale bind", "more sessions")),
        ("RINVSYSTYP", ("system_type",)),
    ],
)
def test_link_test_says_what_to_try_when_the_bind_is_refused(
    link_test: LinkTest, refusal: str, advice: tuple[str, ...]
) -> None:
    smsc = SmscSimulator()
    smsc.refuse_binds(refusal)
    status, output = link_test(smsc, act=None)
    assert (status, output.count("\n")) == (1, 1)
    assert all(words in output.replace("\n", "") for words in (f"ESME_{refusal}", *advice))


def test_link_test_reports_a_bind_refused_with_an_unknown_status_without_advice(link_test: LinkTest) -> None:
    smsc = SmscSimulator()
    smsc.refuse_binds(0x421)
    assert link_test(smsc, act=None) == (1, "gateway: the SMSC refuses the bind: 0x00000421\n")


@pytest.mark.parametrize(
    ("refusal", "keys"),
    [
        ("RINVSERTYP", "service_type"),
        ("RINVSRCADR", "source, source_ton, source_npi"),
        ("RINVSRCTON", "source, source_ton, source_npi"),
        ("RINVDSTADR", "dest_ton, dest_npi"),
        ("RINVDSTTON", "dest_ton, dest_npi"),
        ("RINVDSTNPI", "dest_ton, dest_npi"),
        ("RINVEXPIRY", "validity_period"),
        ("RSUBMITFAIL", "service_type, source, source_ton, source_npi"),
    ],
)
def test_link_test_says_which_keys_to_try_when_texts_are_refused(
    link_test: LinkTest, refusal: str, keys: str
) -> None:
    smsc = SmscSimulator(rules=[f"refuse status={refusal}"])
    status, output = link_test(smsc, "--json", "--wait", "0.5", act=None)
    assert (status, output["advice"]) == (1, [f"ESME_{refusal}: try {keys}"])


def test_link_test_without_any_receipt_says_to_request_all(link_test: LinkTest) -> None:
    status, output = link_test(SmscSimulator(), "--json", "--wait", "0.5")
    (advice,) = output["advice"]
    assert (status, advice.partition(", then ")[0]) == (
        1,
        'no receipt came for the short and the long text: try receipts = "all"',
    )


def test_link_test_without_a_receipt_for_the_long_text_says_to_request_all(link_test: LinkTest) -> None:
    async def receipt_of_the_short_text(smsc: SmscSimulator) -> None:
        short = await smsc.wait_for(lambda: smsc.submitted)
        await smsc.receipt(short[0], "delivered")
        await agree(smsc)

    status, output = link_test(SmscSimulator(), "--json", "--wait", "1", act=receipt_of_the_short_text)
    assert (status, output["short"], output["long"]) == (1, "delivered", "accepted")
    assert output["advice"][0].startswith('no receipt came for the long text: try receipts = "all"')


def test_link_test_without_receipts_that_already_requests_all_does_not_say_so_again(link_test: LinkTest) -> None:
    more = 'receipts = "all"\n'
    _, output = link_test(SmscSimulator(), "--json", "--wait", "0.5", more=more)
    (advice,) = output["advice"]
    assert 'receipts = "all"' not in advice
    assert "ask the operator whether receipts are enabled" in advice


def test_link_test_of_a_complete_link_has_no_advice(link_test: LinkTest) -> None:
    _, output = link_test(SmscSimulator(receipts="delivered"), "--json")
    assert output["advice"] == []


def test_link_test_says_to_accept_the_number_that_the_reply_was_sent_to(link_test: LinkTest) -> None:
    async def agree_elsewhere(smsc: SmscSimulator) -> None:
        await smsc.message(NUMBER, containing="Проверка связи")
        await smsc.reply(NUMBER, "3#1", to="+77710001414")

    _, output = link_test(SmscSimulator(receipts="delivered"), "--json", act=agree_elsewhere)
    (advice,) = output["advice"]
    assert 'add accept_destinations = ["77710001414"]' in advice
    accepting = 'accept_destinations = ["77710001414"]'
    _, output = link_test(SmscSimulator(receipts="delivered"), "--json", act=agree_elsewhere, more=accepting)
    assert output["advice"] == []


def test_link_test_shows_its_advice_in_the_table(link_test: LinkTest) -> None:
    _, shown = link_test(SmscSimulator(rules=["refuse status=RINVSERTYP"]), "--wait", "0.5", act=None)
    assert "to try" in shown
    assert "service_type" in shown


def test_link_test_submits_with_the_fields_that_the_operator_requires(link_test: LinkTest) -> None:
    smsc = SmscSimulator(receipts="delivered")
    more = """service_type = "CMT"
dest_ton = 2
dest_npi = 8
address_range = "^1414$"
validity_period = { request = "3d" }
"""
    status, _ = link_test(smsc, "--json", more=more)
    assert status == 0
    assert smsc.connections[0].bind.address_range == b"^1414$"
    fields = {(s.service_type, s.destination_ton, s.destination_npi, s.validity_period) for s in smsc.submitted}
    assert fields == {("CMT", 2, 8, "000003000000000R")}


def test_link_test_reports_an_smsc_without_response_in_one_line(link_test: LinkTest) -> None:
    smsc = SmscSimulator()
    smsc.refuse_binds(None)
    status, output = link_test(smsc, act=None)
    assert status == 1
    assert output == f"gateway: 127.0.0.1:{smsc.port} has not responded to the bind in 0.5 s\n"


def test_link_test_reports_an_unreachable_smsc_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=9, password="secret"), encoding="utf-8")
    assert main(["link-test", "kcell", "--config", str(path), "--to", NUMBER]) == 1
    assert capsys.readouterr().err.startswith("gateway: 127.0.0.1:9 cannot be reached: ")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["beeline", "--to", NUMBER], "there is no link beeline; there are kcell"),
        (["kcell", "--to", "+79161234567"], "--to: +79161234567 is no Kazakh mobile number"),
    ],
)
def test_link_test_reports_an_unknown_link_or_invalid_number_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], output: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=9, password="secret"), encoding="utf-8")
    assert main(["link-test", *words, "--config", str(path)]) == 1
    assert capsys.readouterr().err == f"gateway: {output}\n"


def test_link_test_names_the_key_of_a_missing_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_the_relation_of_two_message_ids_is_recognised(response_id: str, receipt_id: str, how: str | None) -> None:
    assert relation(response_id, receipt_id) == how


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [
        ("0012", "decimal"),
        ("00fA", "hexadecimal"),
        ("123e4567-e89b-12d3-a456-426614174000", "uuid"),
        ("a:b", "other"),
        ("", "empty"),
    ],
)
def test_the_form_of_a_message_id_is_recognised(message_id: str, expected: str) -> None:
    assert form(message_id) == expected


# What the SMSC delivers again


async def agree_twice(smsc: SmscSimulator) -> None:
    """The reply is delivered again once the first delivery was refused with ESME_RTHROTTLED."""
    await smsc.message(NUMBER, containing="Проверка связи")
    if await smsc.reply(NUMBER, "3#1") == 0x58:
        await smsc.reply(NUMBER, "3#1")


def test_link_test_sees_whether_a_refused_reply_is_delivered_again(link_test: LinkTest) -> None:
    smsc = SmscSimulator(password="secret", receipts="delivered")
    words = ("--defer-reply", "--wait", "10", "--json")
    status, learned = link_test(smsc, *words, act=agree_twice, more="defer_status = 0x58\n")
    assert (status, learned["reply_verdict"]) == (0, "agree")
    assert learned["reply_again_in"] >= 0
    assert learned["advice"] == []


def test_link_test_names_the_statuses_to_try_where_a_refused_reply_does_not_come_again(
    link_test: LinkTest,
) -> None:
    smsc = SmscSimulator(password="secret", receipts="delivered")
    status, learned = link_test(smsc, "--defer-reply", "--wait", "1", "--json")
    assert (status, learned["reply_again_in"]) == (1, None)
    (advice,) = learned["advice"]
    assert advice.startswith("the reply was not delivered again after ESME_RX_T_APPN: try defer_status = 0x08")


# What receipts mean


def test_advice_on_states_names_unknown_words_and_an_unknown_that_another_receipt_follows() -> None:
    def receipt(state: MessageState, word: str = "") -> Receipt:
        return Receipt(message_id="7", state=state, error="", intermediate=False, unknown_state=word)

    unknown, delivered = receipt(MessageState.UNKNOWN), receipt(MessageState.DELIVERED)
    assert on_states([unknown]) == on_states([delivered]) == []
    (advice,) = on_states([unknown, delivered])
    assert 'receipt_states = { UNKNOWN = "enroute" }' in advice
    (advice,) = on_states([receipt(MessageState.UNSTATED, "PENDING"), delivered])
    assert '"PENDING"' in advice
