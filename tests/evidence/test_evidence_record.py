"""Evidence records: a printed record verifies, and every change of it is found."""

import asyncio
import copy
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.consent.events import Event, EventType
from gateway.evidence import digests, merkle, verification
from gateway.evidence.digests import Anchor
from gateway.simulators.smsc import SmscSimulator
from gateway.store import erasure, journal, journal_tree
from tests.conftest import fresh_database
from tests.evidence.record_changes import Record, changed, leaves, sealed
from tests.evidence.records import recorded
from tests.harness import Family, Harness, harness, simulated_partners

__all__ = ["harness"]

ROOT = Path(__file__).parents[2]
WITHOUT_DIGEST = {
    ("made_at",), ("case", "list_id"), ("case", "record_id"), ("case", "service"), ("case", "language"),
    ("case", "record"), ("case", "rules"), ("texts", "repeat"), ("texts", "state"), ("texts", "reference"),
    ("texts", "accepted_at"), ("replies", "default_alphabet"), ("tree", "size"),
}  # fmt: skip
"""Fields that no digest and no entry of the journal covers: only the seal protects them."""


async def run(harness: Harness, family: Family, *options: str) -> tuple[int | None, bytes, bytes]:
    """(status, output, errors) of `gateway evidence` for the family's case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "evidence", await harness.case_id(family), *options,
        "--config", str(harness.directory / "config.toml"), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode, out, errors


async def printed(harness: Harness, family: Family, *options: str) -> bytes:
    """The output of `gateway evidence`."""
    status, out, errors = await run(harness, family, *options)
    assert status == 0, errors
    return out


async def consent(harness: Harness) -> Family:
    """A family that was asked, sent an unclear reply, got a clarification, and agreed."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "қалай?")
    await harness.text(family, "3#2", nth=2)
    await harness.smsc.reply(family.number, "«3#1»")
    await harness.status(family, "voucher_issued")
    await harness.journaled(family, "text_accepted", nth=3)
    return family


@pytest.fixture(scope="module")
def printed_record(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `gateway evidence` prints of a consent; made once."""

    async def make() -> bytes:
        async with (
            fresh_database(postgres) as url,
            simulated_partners(url, tmp_path_factory.mktemp("consent")) as harness,
        ):
            return await printed(harness, await consent(harness))

    return asyncio.run(make())


@pytest.fixture
def record(printed_record: bytes) -> Record:
    record: Record = json.loads(printed_record)
    return record


def test_a_printed_evidence_record_verifies(record: Record) -> None:
    assert verification.check(record) == []
    assert [text["kind"] for text in record["texts"]] == ["request", "clarify", "agreed"]
    assert [reply["text"] for reply in record["replies"]] == ["қалай?", "«3#1»"]
    assert record["case"]["evidence"] == record["replies"][1]["digest"].removeprefix("hmac-")
    assert all(text["message_ids"] and None not in text["message_ids"] for text in record["texts"])


def test_a_change_of_any_field_of_a_record_is_found(record: Record) -> None:
    paths = list(leaves(record))
    assert len(paths) > 150
    assert [path for path in paths if not verification.check(changed(record, path))] == []


def test_a_change_of_a_resealed_record_is_found_by_the_digests_of_the_journal(record: Record) -> None:
    unseen = []
    for path in leaves(record):
        forged = changed(record, path)
        forged["seal"] = digests.seal(forged)
        named = tuple(step for step in path if isinstance(step, str))[:2]
        if path != ("seal",) and named not in WITHOUT_DIGEST and not verification.check(forged):
            unseen.append(path)
    assert unseen == []


def test_removed_or_reordered_parts_of_a_record_are_found(record: Record) -> None:
    for part in ("texts", "replies", "journal"):
        for n in range(len(record[part])):
            shorter = copy.deepcopy(record)
            del shorter[part][n]
            shorter["seal"] = digests.seal(shorter)
            assert verification.check(shorter) or (part == "journal" and not _is_required(record, n))
    reordered = copy.deepcopy(record)
    reordered["journal"].reverse()
    reordered["seal"] = digests.seal(reordered)
    assert verification.check(reordered)


def _is_required(record: Record, n: int) -> bool:
    """The state, or another part of the record, requires this entry of the journal."""
    return record["journal"][n]["event"] not in (
        "reply_unclear",
        "voucher_requested",
        "delivered",
        "text_delivered",
    )


def test_a_record_with_the_key_of_another_case_does_not_verify(record: Record) -> None:
    master = b"the database's own"
    assert digests.case_key(master, "one") != digests.case_key(master, "other")
    forged = copy.deepcopy(record)
    forged["case"]["key"] = digests.case_key(master, "other").hex()
    forged["seal"] = digests.seal(forged)
    pointers = {fault.pointer for fault in verification.check(forged)}
    assert {"/texts/0/body", "/replies/0/octets", "/replies/1/octets"} <= pointers


async def test_a_record_of_an_erased_case_verifies_without_personal_data(harness: Harness) -> None:
    family = await consent(harness)
    now = datetime.now(UTC) + timedelta(days=2000)
    async with harness.connection.transaction():
        erased = await erasure.erase_ended(harness.connection, now, now, lambda octets: octets.hex(), 10)
        entries = [journal.entry(now, case_id, Event(EventType.ERASED)) for case_id in erased]
        await journal.append(harness.connection, entries)
    assert erased == [await harness.case_id(family)]
    record = await recorded(harness, family)
    assert verification.check(record) == []
    assert record["case"]["record"] is None
    assert {text["body"] for text in record["texts"]} == {None}
    assert {reply["octets"] for reply in record["replies"]} == {None}


@pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines
async def test_a_record_verifies_against_its_anchor_and_no_other(harness: Harness) -> None:
    """Offline, without the database: its owner could have written another journal."""
    family = await consent(harness)
    first = await recorded(harness, family)
    async with harness.connection.transaction():
        later = [journal.entry(datetime.now(UTC), "later", Event(EventType.RECEIVED)) for _ in range(3000)]
        await journal.append(harness.connection, later)
    last = await recorded(harness, family)
    size = last["tree"]["size"]
    assert size >= first["tree"]["size"] + 3000
    kept = Anchor(size - 700, await journal_tree.root(harness.connection, size - 700))
    record = json.loads(await printed(harness, family, "--at", str(kept.seq)))
    assert verification.check(record, kept) == []
    assert verification.check(last, Anchor(size, bytes.fromhex(last["tree"]["root"]))) == []
    assert [fault.pointer for fault in verification.check(last, kept)] == ["/tree/size"]
    other = Anchor(kept.seq, merkle.leaf(kept.root))
    assert [fault.pointer for fault in verification.check(record, other)] == ["/tree/root"]
    for wrong in (first["journal"][-1]["seq"] - 1, size + 1000):
        status, _, errors = await run(harness, family, "--at", str(wrong))
        assert (status, errors.count(b"\n")) == (1, 1), errors
        assert f"from {first['journal'][-1]['seq']} to".encode() in errors


def test_an_unknown_alphabet_in_a_record_is_a_fault(record: Record) -> None:
    record["replies"][0] |= {"data_coding": 0, "default_alphabet": "unlisted"}
    record["seal"] = digests.seal(record)
    assert "/replies" in {fault.pointer for fault in verification.check(record)}


def pointers(record: Record, change: Callable[[Record], object]) -> set[str]:
    """The pointers of the faults of a record that was changed and sealed again."""
    forged = copy.deepcopy(record)
    change(forged)
    forged["seal"] = digests.seal(forged)
    return {fault.pointer for fault in verification.check(forged)}


def test_a_duplicate_text_or_reply_in_a_record_is_found(record: Record) -> None:
    def twice(part: str) -> Callable[[Record], object]:
        return lambda forged: forged[part].append(dict(forged[part][-1]))

    assert pointers(record, twice("texts")) == {"/texts"}
    assert pointers(record, twice("replies")) == {"/replies"}


def test_erased_values_in_a_record_need_an_erased_entry(record: Record) -> None:
    def erased(forged: Record) -> None:
        forged["replies"][1] |= {"octets": None, "text": None}
        forged["texts"][0]["body"] = None

    assert pointers(record, erased) == {"/replies/1/octets", "/texts/0/body"}
    assert pointers(record, lambda forged: forged["replies"][1].update(octets=None)) == {"/replies/1/octets"}


@pytest.mark.parametrize("part", ["state", "case_id", "key", "rules", "evidence"])
def test_verify_evidence_reports_a_record_with_a_missing_part(record: Record, tmp_path: Path, part: str) -> None:
    del record["case"][part]
    record["seal"] = digests.seal(record)
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    assert main(["verify-evidence", str(file)]) == 1


async def test_two_replies_with_the_same_text_are_both_in_the_record(harness: Harness) -> None:
    """Their digests are equal: an SMSC need not send the time of a message."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "қалай?")
    await harness.journaled(family, "reply_read")
    await harness.connection.execute("UPDATE replies SET arrived_at = arrived_at - interval '1 day'")
    await harness.smsc.reply(family.number, "қалай?")
    await harness.journaled(family, "reply_read", nth=2)
    record = await recorded(harness, family)
    assert len({reply["digest"] for reply in record["replies"]}) == 1
    assert verification.check(record) == []


async def test_a_reply_with_a_final_nul_is_in_the_record_as_received(harness: Harness) -> None:
    """0.1.0 read the NUL as a character: the records that it has printed verify as well."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, octets=b"3#7\0")
    await harness.smsc.reply(family.number, octets=b"\0003\0#\0001\0", data_coding=8)
    await harness.status(family, "consented")
    record = await recorded(harness, family)
    assert [(reply["octets"], reply["text"]) for reply in record["replies"]] == [
        ("33233700", "3#7"),
        ("00330023003100", "3#1"),
    ]
    assert verification.check(record) == []
    record["replies"][0]["text"] = "3#7@"
    assert verification.check(sealed(record)) == []
    record["replies"][0]["text"] = "3#8"
    assert verification.check(sealed(record)) != []


async def test_an_ignored_reply_by_another_operators_link_is_not_in_the_record(harness: Harness) -> None:
    """The journal has it, before the replies that count."""
    async with SmscSimulator(password="secret") as other:
        await harness.start(
            link={"operators": ["kcell"]}, other_link={"name": "tele2", "port": other.port, "operators": []}
        )
        await other.bound()
        family = Family(n=1, mother=("77010000001", "kcell"))
        await harness.ask(family)
        assert await other.reply(family.number, "3#2?") == 0
        await harness.journaled(family, "reply_ignored")
        await harness.smsc.reply(family.number, "3#1")
        await harness.status(family, "consented")
        record = await recorded(harness, family)
    assert [reply["text"] for reply in record["replies"]] == ["3#1"]
    assert verification.check(record) == []


@pytest.mark.parametrize(
    ("text", "outcome", "ussd"),
    [("3#1", "consented", False), ("3#2", "refused", False), ("3#1", "consented", True)],
)
async def test_a_held_reply_is_in_the_record_before_and_after_its_acceptance(
    harness: Harness, text: str, outcome: str, ussd: bool
) -> None:
    async with SmscSimulator(password="secret") as other:
        await harness.start(
            link={"operators": ["kcell"]}, other_link={"name": "tele2", "port": other.port, "operators": []}
        )
        await other.bound()
        family = Family(n=1, mother=("77010000001", "kcell"))
        await harness.ask(family)
        if ussd:
            dialogue = await other.dial(family.number)
            for typed in ("what?", text):
                await dialogue.screen()
                await dialogue.reply(typed)
        else:
            assert await other.reply(family.number, text) == 0
        await harness.status(family, "reply_held")
        held = await recorded(harness, family)
        assert (await harness.act(family, "accept-reply"))[0] == 200
        await harness.status(family, outcome)
        accepted = await recorded(harness, family)
    for record in (held, accepted):
        replies = [(reply["link"], reply["text"]) for reply in record["replies"]]
        assert replies == [*([("tele2", "what?")] if ussd else []), ("tele2", text)]
        assert verification.check(record) == []
    events = [entry["event"] for entry in accepted["journal"]]
    assert events.index("reply_held") < events.index("reply_accepted") < events.index(outcome)
    detail = next(json.loads(e["detail"]) for e in accepted["journal"] if e["event"] == "reply_accepted")
    assert detail == {"by": "ops", "link": "tele2", "reply": accepted["replies"][-1]["digest"]}


async def test_the_error_for_a_service_not_configured_names_it(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.connection.execute("UPDATE cases SET service = '9'")
    status, _, errors = await run(harness, family)
    assert (status, errors.count(b"\n")) == (1, 1), errors
    assert b"services.9 is missing" in errors


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "gateway-evidence-1"}', "7"])
def test_json_that_is_not_a_record_has_faults(content: str) -> None:
    assert verification.check(json.loads(content))


def test_verify_evidence_prints_the_faults_of_a_record(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    assert main(["verify-evidence", str(file)]) == 0
    assert "holds" in capsys.readouterr().out
    anchor = f"{record['tree']['size']}:{record['tree']['root']}"
    assert main(["verify-evidence", str(file), "--anchor", anchor]) == 0
    assert "when the anchor was noted" in capsys.readouterr().out
    record["replies"][1]["verdict"] = "refuse"
    file.write_text(json.dumps(record))
    assert main(["verify-evidence", str(file), "--json"]) == 1
    output = json.loads(capsys.readouterr().out)
    assert not output["holds"]
    assert "/replies/1" in {fault["pointer"] for fault in output["faults"]}


def test_verify_evidence_of_a_missing_file_is_a_one_line_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify-evidence", str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
