"""A database that version 0.1.0 has written is migrated, and its campaign carried on to the end.

tests/fixtures/v0_1_0/README.md lists the records and what each of them waits for.
"""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from smpplib import consts

from gateway.cli import main
from gateway.simulators.smsc import Dialogue, SmscSimulator
from gateway.store import entries
from gateway.store.migrations import migrate
from tests.harness import TOKENS, Family, Harness, set_due
from tests.journal_entries import all_entries

FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0_1_0"
NEW_MIGRATIONS = [
    "0008_field_terms", "0009_rows", "0010_valid_rows", "0011_references", "0012_comments", "0013_resending",
    "0014_clock_steps", "0015_held_replies", "0016_bind_attempts", "0017_receipts",
    "0018_senders", "0019_journal_hash", "0020_case_reasons", "0021_text_fields", "0022_link_sharing",
    "0023_rewinds", "0024_journal_check", "0025_live_rows", "0026_journal_index",
    "0027_redelivered", "0028_questions_of_case", "0029_figures", "0030_people",
    "0031_receipts_and_segments", "0032_held_dialogues", "0033_clock_moves",
    "0034_queue_figures", "0035_alert_sentences", "0036_checks", "0037_journal_blocks", "0038_hot_updates",
]  # fmt: skip

DONE = [f"done-{n:02}" for n in range(1, 13)]
UNANSWERED = ["asked-1", "asked-2", "asked-3", "asked-5", "reminded-1"]
"""Asked by 0.1.0; they reply by SMS now."""
UNFINISHED = {"sending-1": 1, "sending-2": 8, "queued-1": 9, "queued-2": 15}
"""Segments of the request that no SMSC has accepted yet."""
LOOKED_UP = ["looking_up-1", "looking_up-2", "looking_up-3"]
ISSUED_LATER = [
    "asked-4", "asked-7", *UNANSWERED, "waiting-1", *UNFINISHED, *LOOKED_UP, "consented-1", "consented-2",
    "parked-1", "parked-2",
]  # fmt: skip
"""Their vouchers are formed after the migration."""
ISSUED_BEFORE = ["issued-1", "issued-2", "ussd-1", "erased-1", *DONE]
CONSENTED = [*ISSUED_LATER, *ISSUED_BEFORE, "rejected-1"]
"""Each has one consent in the journal, and no other case has one."""
END = {
    **dict.fromkeys([*ISSUED_LATER, *ISSUED_BEFORE], "voucher_issued"),
    **dict.fromkeys(["asked-6", "refused-1", "refused-2"], "refused"),
    "rejected-1": "voucher_rejected",
    "cancelled-1": "cancelled",
    "no_number-1": "no_number",
    "no_answer-1": "no_answer",
    "undeliverable-1": "undeliverable",
}
EVIDENCE = {"issued-1": "evidence.json", "ussd-1": "evidence_ussd.json", "erased-1": "evidence_erased.json"}
"""The records that 0.1.0 printed."""


@dataclass(slots=True, kw_only=True)
class Pushed(Family):
    """A record of the fixture."""

    name: str

    @property
    def record_id(self) -> str:
        return self.name


def _pushed() -> dict[str, Pushed]:
    mothers = {
        "erased-1": 1, "no_answer-1": 2, "reminded-1": 3, "issued-1": 4, "ussd-1": 5,
        **{f"asked-{n}": 30 + n for n in (1, 2, 3, 5, 6, 7)},
        "refused-1": 40, "issued-2": 41, "cancelled-1": 43, "parked-2": 44, "consented-1": 45, "consented-2": 46,
        "parked-1": 49, "sending-1": 52, "sending-2": 53, "done-01": 61, "looking_up-1": 90, "looking_up-3": 92,
    }  # fmt: skip
    found = {name: Pushed(n=n, name=name) for name, n in mothers.items()}
    found["looking_up-2"] = Pushed(n=91, name="looking_up-2", mother=None, father="77010000091")
    found["waiting-1"] = Pushed(n=50, name="waiting-1", mother=found["asked-1"].number)
    for name, n in (("asked-4", 34), ("queued-1", 54), ("queued-2", 55)):
        found[name] = Pushed(n=n, name=name, mother=f"7705{n:07d}")
    return found


PUSHED = _pushed()
"""The records of which a test needs the number, by record_id."""


@dataclass(slots=True)
class Campaign:
    """The campaign, as today's gateway carries it on."""

    harness: Harness
    beeline: SmscSimulator
    begun: dict[str, str] = field(default_factory=dict)
    """The states before the start."""

    async def statuses(self, names: Iterable[str], status: str) -> None:
        """Returns once SDU has had this status of each of the records."""
        for name in names:
            await self.harness.status(PUSHED[name], status)

    async def reply(self, name: str, text: str, status: str) -> None:
        """A reply by SMS; returns once SDU has had the status."""
        number = PUSHED[name].number
        smsc = self.beeline if number.startswith("7705") else self.harness.smsc
        assert await smsc.reply(number, text) == 0
        await self.harness.status(PUSHED[name], status)

    async def texts(self, name: str, columns: str, kind: str = "request") -> list[tuple[Any, ...]]:
        """These columns of the record's texts of a kind, oldest first."""
        rows = await self.harness.connection.fetch(
            f"SELECT {columns} FROM sms WHERE case_id = $1 AND kind = $2 ORDER BY sms_id",
            await self.harness.case_id(PUSHED[name]),
            kind,
        )
        return [tuple(row.values()) for row in rows]

    async def states(self) -> dict[str, str]:
        rows = await self.harness.connection.fetch("SELECT record_id, state FROM cases")
        return {row["record_id"]: row["state"] for row in rows}


@pytest.fixture
async def database_url(bare_database_url: str) -> str:
    """The database of 0.1.0 at the moment of the kill, migrated."""
    connection = await asyncpg.connect(bare_database_url)
    await connection.execute(gzip.decompress((FIXTURES / "database.sql.gz").read_bytes()).decode())
    await connection.execute((FIXTURES / "freshen.sql").read_text(encoding="utf-8"))
    assert await migrate(connection) == NEW_MIGRATIONS
    await connection.close()
    return bare_database_url


@pytest.fixture
async def campaign(harness: Harness) -> AsyncIterator[Campaign]:
    """Today's gateway is bound to both SMSCs; the SMSCs, MCB, wallet and SDU work again."""
    harness.know(PUSHED[name] for name in [*LOOKED_UP, "parked-1"])
    async with SmscSimulator(password="secret", first_id=500_001) as beeline:
        campaign = Campaign(harness, beeline)
        campaign.begun = await campaign.states()
        await harness.start(
            clock={"rate": 2}, other_link={"name": "beeline", "prefixes": ["705"], "port": beeline.port}
        )
        await beeline.bound()
        yield campaign
        await harness.stop()


async def test_rows_of_0_1_0_hold_to_every_constraint_of_today(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    query = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND NOT convalidated"
    assert await connection.fetch(query) == []
    assert await connection.fetchval("SELECT count(*) FROM cases") == len(END)
    assert [compared for compared in await entries.check(connection) if not compared.holds] == []
    await connection.close()


async def test_work_of_a_process_of_0_1_0_is_carried_on_where_it_was(campaign: Campaign) -> None:
    harness = campaign.harness
    await campaign.statuses([*UNFINISHED, *LOOKED_UP], "asked")
    await campaign.statuses(["consented-1", "consented-2"], "voucher_issued")
    await harness.status(PUSHED["sending-1"], "delivered")  # its receipt came before the last segment's response
    for name, missing in UNFINISHED.items():
        smsc = campaign.beeline if name.startswith("queued") else harness.smsc
        submitted = [s for s in smsc.submitted if s.destination == PUSHED[name].number]
        ((reference, attempts),) = await campaign.texts(name, "reference, attempts")
        assert len(submitted) == missing, name
        assert {s.reference for s in submitted} == {reference}, name
        assert attempts == (1 if name == "queued-2" else 2), name
    for name in ("consented-1", "consented-2"):
        assert len(await campaign.texts(name, "sms_id", kind="agreed")) == 1, "text 3 was sent before the kill"
    after = await campaign.states()
    changed = {name for name, state in after.items() if state != campaign.begun[name]}
    assert changed == {*UNFINISHED, *LOOKED_UP, "consented-1", "consented-2"}
    assert await harness.connection.fetchval("SELECT count(*) FROM receipts_unmatched") == 0
    periods = await harness.connection.fetch("SELECT link FROM unacknowledged_periods")
    assert Counter(row["link"] for row in periods) == {"kcell": 2, "beeline": 2}, "one each since the kill"
    harness.no_complaints()
    assert campaign.beeline.complaints == []


async def test_a_deadline_of_0_1_0_comes_and_the_question_is_repeated(campaign: Campaign) -> None:
    harness = campaign.harness
    await set_due(harness.connection, "due_at - interval '10 days'", "record_id = 'asked-2'")
    await harness.status(PUSHED["asked-2"], "reminded")
    await campaign.reply("asked-2", "3#1", "voucher_issued")


async def test_a_receipt_of_a_segment_that_0_1_0_sent_is_matched(campaign: Campaign) -> None:
    harness = campaign.harness
    case_id = await harness.case_id(PUSHED["asked-1"])
    query = "SELECT e.message_id FROM receipts_expected e JOIN sms USING (sms_id) WHERE case_id = $1"
    message_id = await harness.connection.fetchval(query, case_id)
    assert await harness.smsc.receipt(message_id, "delivered", source=PUSHED["asked-1"].number) == 0
    await harness.status(PUSHED["asked-1"], "delivered")
    assert await campaign.texts("asked-1", "state") == [("delivered",)]


async def test_a_wallet_event_of_a_voucher_that_0_1_0_asked_for_counts_once(campaign: Campaign) -> None:
    harness = campaign.harness
    case_id = await harness.case_id(PUSHED["issued-2"])
    events = [
        harness.wallet.event(case_id, "activated", event_id="w-1"),  # 0.1.0 has had that one
        harness.wallet.event(case_id, "used", event_id="w-2"),
    ]
    url = harness.running[0].url
    assert (await harness.wallet.post_events(url, TOKENS["wallet"], events))[0] == 200
    await harness.status(PUSHED["issued-2"], "service_received")
    assert (await harness.events(PUSHED["issued-2"])).count("voucher_activated") == 1


@pytest.mark.long
async def test_a_campaign_of_0_1_0_is_carried_on_to_its_end(
    campaign: Campaign,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    harness = campaign.harness
    cursor: int = await harness.connection.fetchval("SELECT seq FROM feeds WHERE feed = 'sdu'")
    await _finish_what_was_begun(campaign)
    await _reply_to_open_questions(campaign)
    await _release_parked_cases(campaign)
    await _reply_to_closed_questions(campaign)

    assert await campaign.states() == END
    assert await _consents(harness) == Counter(CONSENTED)
    ids = {await harness.case_id(PUSHED[name]): name for name in ISSUED_LATER}
    assert sorted(ids[key] for key in harness.wallet.vouchers) == sorted(ISSUED_LATER)
    for name in ISSUED_LATER:
        assert len(await campaign.texts(name, "sms_id", kind="agreed")) == 1, name

    assert await harness.stop() == [0]
    statuses = [entry.seq for entry in await all_entries(harness.connection) if entry.event_id is not None]
    pushed = [event["seq"] for event in harness.sdu.events]
    assert pushed == [seq for seq in statuses if seq > cursor], (
        "each status once, in order, from where 0.1.0 had come to"
    )
    harness.no_complaints()
    assert campaign.beeline.complaints == []
    monkeypatch.delenv("GATEWAY_DATABASE", raising=False)
    await asyncio.to_thread(_verify_journal_and_evidence, tmp_path / "config.toml", capsysbinary)


async def _finish_what_was_begun(campaign: Campaign) -> None:
    """Texts, look-ups and voucher calls that were under way or waiting at the kill."""
    await campaign.statuses([*UNFINISHED, *LOOKED_UP], "asked")
    await campaign.statuses(["consented-1", "consented-2"], "voucher_issued")


async def _reply_to_open_questions(campaign: Campaign) -> None:
    """By USSD in the dialogue that 0.1.0 has opened, by the segment that is missing, and by SMS."""
    harness = campaign.harness
    dialogue = _resumed_dialogue(harness.smsc, PUSHED["asked-7"].number)
    assert await dialogue.reply("1") == 0
    assert (await dialogue.screen()).startswith("Келісіміңіз қабылданды")
    assert await campaign.beeline.reply(PUSHED["asked-4"].number, ["3#", "1"], reference=77, order=[2]) == 0
    await campaign.statuses(["asked-7", "asked-4"], "voucher_issued")
    for name in [*UNANSWERED, *UNFINISHED, *LOOKED_UP]:
        await campaign.reply(name, "3#1", "voucher_issued")
    await campaign.reply("asked-6", "3#2", "refused")
    await campaign.statuses(["waiting-1"], "asked")  # behind asked-1, at the same number
    await harness.let_replies_age()
    await campaign.reply("waiting-1", "3#1", "voucher_issued")


async def _release_parked_cases(campaign: Campaign) -> None:
    """One was parked at its look-up, one after its consent."""
    for name in ("parked-1", "parked-2"):
        assert (await campaign.harness.act(PUSHED[name], "release"))[0] == 200
    await campaign.statuses(["parked-2"], "voucher_issued")
    await campaign.statuses(["parked-1"], "asked")
    await campaign.reply("parked-1", "3#1", "voucher_issued")


async def _reply_to_closed_questions(campaign: Campaign) -> None:
    """What comes after the end is journaled, and changes nothing."""
    harness = campaign.harness
    for name in ("no_answer-1", "refused-1", "cancelled-1"):
        await campaign.reply(name, "3#1", "late_reply")
    await campaign.reply("done-01", "3#2", "withdrawal_requested")
    erased = await harness.case(PUSHED["erased-1"])
    assert await harness.smsc.reply(PUSHED["erased-1"].number, "3#2") == 0
    ignored = await harness.journaled(None, "reply_ignored", nth=2)  # 0.1.0 has journaled the first
    assert ignored["reason"] == "no question was asked there"
    assert dict(await harness.case(PUSHED["erased-1"])) == dict(erased)


def _resumed_dialogue(smsc: SmscSimulator, number: str) -> Dialogue:
    """The dialogue that the handset had open with the gateway of 0.1.0: the first of its number."""

    async def send(content: dict[str, Any]) -> int:
        sender = {
            "source_addr": number,
            "source_addr_ton": consts.SMPP_TON_INTL,
            "source_addr_npi": consts.SMPP_NPI_ISDN,
            "destination_addr": smsc.short_code,
        }
        return await smsc.deliver("ussd", "deliver_sm", {**sender, **content})

    return smsc.dialogues.begin(smsc, number, send, None)


async def _consents(harness: Harness) -> Counter[str]:
    """How many consents the journal has, by record_id."""
    entries = [entry for entry in await all_entries(harness.connection) if entry.event == "consented"]
    records = await harness.connection.fetch("SELECT case_id, record_id FROM cases")
    record_ids = {row["case_id"]: row["record_id"] for row in records}
    return Counter(record_ids[entry.case_id] for entry in entries)


def _verify_journal_and_evidence(config: Path, output: pytest.CaptureFixture[bytes]) -> None:
    """The anchors that 0.1.0 has logged and printed hold; its records come out as it printed them."""

    def gateway(*words: str | Path) -> bytes:
        """Standard output of a `gateway` command that succeeds."""
        output.readouterr()
        assert main([str(word) for word in words]) == 0, (words, output.readouterr())
        return output.readouterr().out

    printed = {name: json.loads((FIXTURES / file).read_bytes()) for name, file in EVIDENCE.items()}
    anchors = {f"{record['tree']['size']}:{record['tree']['root']}" for record in printed.values()}
    assert (FIXTURES / "anchor.txt").read_text(encoding="ascii").strip() in anchors
    words = [word for anchor in sorted(anchors) for word in ("--anchor", anchor)]
    checked = json.loads(gateway("verify-journal", "--config", config, "--json", *words))
    assert (checked["fault"], checked["cases"], checked["rows"]) == (None, len(END), [])
    for name, old in printed.items():
        case_id, size = old["case"]["case_id"], str(old["tree"]["size"])
        file = config.with_name(f"{name}.json")
        file.write_bytes(gateway("evidence", "--config", config, case_id, "--at", size))
        new = json.loads(file.read_bytes())
        assert [key for key in old if new[key] != old[key]] == ["made_at", "seal"], name
        for record in (file, FIXTURES / EVIDENCE[name]):
            gateway("verify-evidence", record, "--anchor", f"{size}:{old['tree']['root']}")
