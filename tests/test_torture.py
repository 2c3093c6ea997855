"""Short torture runs: the real gateway, killed or restarted repeatedly. `scripts/torture` makes long ones."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from chaos import clocks, disk, main
from chaos.audit import Audit
from chaos.parents import Sent
from chaos.profiles import PROFILES, run_phases
from chaos.records import Records
from chaos.run import Settings, repeated_without_kills, torture
from chaos.serve import scaled

from gateway.backoff import Backoff
from gateway.config.policy import LinkPolicy
from gateway.simulators.habits import Habits
from gateway.simulators.smsc import Delivered, SmscSimulator

NUMBER = "77010000001"
KILLS = 20
RESTARTS = 8


@pytest.mark.long
async def test_nothing_is_lost_or_invented_by_a_gateway_that_is_killed_at_random_instants(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(cases=70, kills=KILLS, seed=4, day=0.9, max_pause=2.0, url=database_url)
    violations, counts = await torture(settings, tmp_path)
    assert violations == []
    assert counts["kills"] == KILLS


@pytest.mark.long
async def test_a_rolling_restart_loses_invents_and_repeats_nothing(database_url: str, tmp_path: Path) -> None:
    settings = Settings(
        cases=60, kills=RESTARTS, seed=5, day=0.9, processes=2, rolling=True, max_pause=1.0, url=database_url
    )
    violations, counts = await torture(settings, tmp_path)
    assert violations == []
    assert counts["SIGTERM, then exit 0"] == RESTARTS


@pytest.mark.long
async def test_smscs_that_send_what_nobody_asked_for_change_no_case(database_url: str, tmp_path: Path) -> None:
    settings = Settings(cases=40, kills=0, seed=6, day=1.5, smsc="chatty", url=database_url)
    violations, counts = await torture(settings, tmp_path)
    assert violations == []
    assert counts["kills"] == 0


@pytest.mark.long
async def test_steps_of_the_clocks_of_gateway_and_database_cost_nothing(tmp_path: Path) -> None:
    if (reason := clocks.why_not()) is not None:
        pytest.skip(reason)
    settings = Settings(cases=30, kills=0, seed=7, day=2.0, clock=True)
    violations, counts = await torture(settings, tmp_path)
    assert violations == []
    assert counts["steps of the wall clock noticed"] > 0
    assert counts["steps of the database clock noticed"] > 0
    assert counts["segments accepted"] > 0


def test_without_libfaketime_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = clocks.why_not(["/nowhere"])
    monkeypatch.setattr(clocks, "why_not", lambda: reason)
    monkeypatch.setattr(sys, "argv", ["torture", "--clock"])
    assert main.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "--clock: clocks cannot step here: libfaketime is not installed: apt-get install libfaketime\n"


def test_a_clock_that_stepped_unnoticed_is_a_violation(tmp_path: Path) -> None:
    stepping = clocks.Clocks(tmp_path, with_database=True)
    stepping.counts.update({"steps of the wall clock": 1, "steps of the database clock": 1})
    (tmp_path / "0.log").write_text('{"event":"clock_stepped","clock":"wall","seconds":-10.0}\n')
    assert list(stepping.unnoticed(tmp_path, 1)) == ["the database clock stepped, and no process noticed"]


def test_the_waits_of_links_are_scaled_and_their_limits_are_not() -> None:
    half, whole = scaled(LinkPolicy(), 0.5, timedelta(minutes=2)), LinkPolicy()
    assert half.busy == Backoff(first_seconds=0.25, max_seconds=15.0)
    assert half.busy_pause * 2 == whole.busy_pause
    assert half.first_probe_seconds * 2 == whole.first_probe_seconds
    assert half.max_busy_retries == whole.max_busy_retries


@pytest.mark.parametrize("name", PROFILES)
async def test_smscs_take_on_the_phases_of_a_profile_one_after_the_other(name: str) -> None:
    smsc = SmscSimulator()
    phases = [phase._replace(seconds=0.0) for phase in PROFILES[name]]
    await run_phases([smsc], phases)
    assert smsc.habits == Habits.parse(phases[-1].habits)
    assert [rule.name for rule in smsc.rules] == [rule.split()[0] for phase in phases for rule in phase.rules]


@pytest.mark.parametrize(
    ("copies", "allowed"), [([1] * 20, True), ([1] * 18 + [2] * 2, True), ([1] * 17 + [2] * 3, False)]
)
def test_the_audit_finds_too_many_copies_of_segments_with_a_reference(copies: list[int], allowed: bool) -> None:
    submitted = [
        SimpleNamespace(destination=f"7701{n:07}", reference=reference, total=2, number=1, accepted=accepted)
        for n, times in enumerate(copies)
        for reference, accepted, how_often in ((7, True, times), (8, False, 9), (None, True, 9))
        for _ in range(how_often)
    ]
    partners = SimpleNamespace(smscs={"kcell": SimpleNamespace(submitted=submitted)})
    audit = Audit(cast("Any", SimpleNamespace(pupils=[])), cast("Any", partners), cast("Any", None), Records(), [])
    assert (list(audit.too_many_copies()) == []) is allowed
    assert audit.counts["segments accepted"] == 20


def audited(
    *, sent: Sequence[Sent] = (), records: Records | None = None, delivered: Sequence[Delivered] = (), **smsc: Any
) -> Audit:
    """The audit of one SMSC; `smsc` are attributes of it."""
    partners = SimpleNamespace(smscs={"kcell": SimpleNamespace(delivered=delivered, **smsc)})
    parents = SimpleNamespace(sent=sent)
    return Audit(
        cast("Any", SimpleNamespace(pupils=[])), cast("Any", partners), cast("Any", parents),
        records or Records(), [],
    )  # fmt: skip


def delivery(text: str, *, responded: bool, segment: int | None = None) -> Delivered:
    """A deliver_sm of that handset; of several segments with its UDH."""
    udh = b"" if segment is None else bytes((5, 0, 3, 7, 2, segment))
    fields = {"short_message": udh + text.encode(), "esm_class": 0x40 if udh else 0, "data_coding": 1}
    status, at = (0, 1.0) if responded else (None, None)
    return Delivered("reply", 0.0, 1, NUMBER, fields, status, at)


@pytest.mark.parametrize(
    ("deliveries", "stored", "repeated", "redelivered"),
    [
        ([delivery("3#1", responded=True)], 1, 0, 0),
        ([delivery("3#1", responded=False), delivery("3#1", responded=True)], 1, 0, 0),
        ([delivery("3#1", responded=False), delivery("3#1", responded=True)], 2, 0, 1),
        ([delivery("3#1", responded=False)] * 2 + [delivery("3#1", responded=True)], 3, 0, 2),
        ([delivery("3#1", responded=True)], 2, 1, 0),
        ([delivery("3#1", responded=False), delivery("3#1", responded=True)], 3, 1, 1),
        ([delivery("3#1", responded=True), delivery("3#2", responded=False)], 2, 1, 0),
    ],
)
def test_the_audit_tells_a_reply_stored_again_from_one_that_the_smsc_had_to_deliver_again(
    deliveries: list[Delivered], stored: int, repeated: int, redelivered: int
) -> None:
    audit = audited_reply(["3#1"], deliveries, stored)
    assert audit.counts["replies stored again"] == repeated
    assert audit.counts["replies stored again, for want of a response"] == redelivered
    violations = list(repeated_without_kills(audit.counts))
    assert violations == ["1 replies stored again, though nothing was killed"] * repeated


@pytest.mark.parametrize(("responded", "repeated"), [(False, 0), (True, 1)])
def test_the_audit_follows_each_segment_of_a_reply(responded: bool, repeated: int) -> None:
    deliveries = [
        delivery("3#", responded=True, segment=1),
        delivery("1", responded=responded, segment=2),
        delivery("1", responded=True, segment=2),
    ]
    assert audited_reply(["3#", "1"], deliveries, 2).counts["replies stored again"] == repeated


def audited_reply(segments: list[str], deliveries: list[Delivered], stored: int) -> Audit:
    """The audit of a reply that nobody was asked for, in so many rows."""
    row = {"source_addr": NUMBER, "octets": "".join(segments).encode(), "data_coding": 0, "case_id": None}
    sent = Sent(NUMBER, segments, None, True, 0.0, acked_at=2.0)
    audit = audited(sent=[sent], records=Records(replies=[row] * stored), delivered=deliveries)
    assert list(audit._replies()) == []
    return audit


@pytest.mark.parametrize(
    ("responses", "repeated", "due"), [([2.0], 0, 0), ([None, 2.0], 0, 1), ([1.0, 2.0], 1, 0)]
)
def test_the_audit_tells_a_text_shown_again_from_one_whose_response_was_never_sent(
    responses: list[float | None], repeated: int, due: int
) -> None:
    segments = [SimpleNamespace(responded_at=at) for at in responses]
    messages = [
        SimpleNamespace(destination=NUMBER, text="text", complete=True, repeated=0, last=segment)
        for segment in segments
    ]
    row = {"msisdn": NUMBER, "sent_body": "text", "segments": 1, "accepted_at": 2.0, "kind": "refused"}
    audit = audited(records=Records(sms=[row]), messages=messages)
    assert list(audit._messages()) == []
    assert audit.counts["single segments shown again"] == repeated
    assert audit.counts["single segments shown again, for want of a response"] == due


def test_without_permission_to_mount_a_disk_the_command_explains_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disk, "why_not", lambda: "unshare failed: Operation not permitted")
    monkeypatch.setattr(sys, "argv", ["torture", "--full-disk"])
    assert main.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("cannot be mounted here: unshare failed: Operation not permitted\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("replies", "texts_at", "holds"),
    [
        ([("anna", True, 1.0), ("bota", True, 2.0)], [1.5, 2.5], True),
        ([("anna", True, 1.0), ("bota", False, 2.0)], [1.5, 2.5], False),
        ([("anna", True, 1.0), ("anna", True, 2.0)], [1.5, 2.5], False),
        ([("anna", False, 1.0), ("anna", True, 2.0)], [2.5], False),
        ([("anna", True, 2.0)], [1.5], False),
        ([], [1.5], False),
    ],
)
def test_the_audit_finds_a_text_3_without_an_agreement(
    replies: list[tuple[str, bool, float]], texts_at: list[float], holds: bool
) -> None:
    sent = [Sent(NUMBER, [""], cast("Any", pupil), agrees, at) for pupil, agrees, at in replies]
    audit = Audit(
        cast("Any", SimpleNamespace(pupils=[])),
        cast("Any", None),
        cast("Any", SimpleNamespace(sent=sent)),
        Records(),
        [],
    )
    messages = [SimpleNamespace(destination=NUMBER, segments={1: SimpleNamespace(at=at)}) for at in texts_at]
    assert (list(audit._agreements(cast("Any", messages))) == []) is holds
