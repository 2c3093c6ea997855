"""Records of evidence that version 0.1.0 printed verify as they did then."""

import json
from pathlib import Path

import pytest

from gateway.consent.details import UssdReplyRead
from gateway.consent.events import EventType, parse_detail
from gateway.evidence import digests, merkle, verification
from gateway.evidence.digests import Anchor
from gateway.evidence.history import read_history
from tests.evidence.record_changes import Record, changed, leaves

FOLDER = Path(__file__).parents[1] / "fixtures" / "v0_1_0"
RECORDS = ("evidence.json", "evidence_erased.json", "evidence_ussd.json")
PARTS = ("format", "made_at", "case", "texts", "replies", "journal", "tree", "seal")

each_record = pytest.mark.parametrize("name", RECORDS)


def read(name: str) -> Record:
    record: Record = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return record


def kept_anchor() -> Anchor:
    seq, _, root = (FOLDER / "anchor.txt").read_text(encoding="utf-8").strip().partition(":")
    return Anchor(int(seq), bytes.fromhex(root))


@each_record
def test_a_record_of_0_1_0_verifies(name: str) -> None:
    assert verification.check(read(name)) == []


def test_a_record_of_0_1_0_leads_to_the_anchor_that_was_kept_and_to_no_other() -> None:
    record, anchor = read("evidence.json"), kept_anchor()
    assert verification.check(record, anchor) == []
    other_root = Anchor(anchor.seq, merkle.leaf(anchor.root))
    assert [fault.pointer for fault in verification.check(record, other_root)] == ["/tree/root"]
    other_size = Anchor(anchor.seq + 1, anchor.root)
    assert [fault.pointer for fault in verification.check(record, other_size)] == ["/tree/size"]


@each_record
@pytest.mark.parametrize("part", PARTS)
def test_a_record_of_0_1_0_with_one_changed_character_does_not_verify(name: str, part: str) -> None:
    record = read(name)
    assert set(PARTS) == record.keys()
    places = [place for place in leaves(record) if place[0] == part]
    assert places
    assert [place for place in places if not verification.check(changed(record, place))] == []


@each_record
def test_a_changed_journal_of_0_1_0_does_not_verify_when_it_is_sealed_again(name: str) -> None:
    record = read(name)
    unseen = []
    for place in (place for place in leaves(record) if place[0] == "journal"):
        forged = changed(record, place)
        forged["seal"] = digests.seal(forged)
        if not verification.check(forged):
            unseen.append(place)
    assert unseen == []


@each_record
def test_every_detail_of_0_1_0_is_of_a_type_that_its_event_has_today(name: str) -> None:
    for entry in read(name)["journal"]:
        detail = parse_detail(EventType(entry["event"]), entry["detail"])
        assert detail._asdict() == json.loads(entry["detail"])


def test_a_reply_of_0_1_0_in_a_ussd_dialogue_has_its_session() -> None:
    history, unreadable = read_history(read("evidence_ussd.json")["journal"])
    assert unreadable == []
    replies = [detail for _, detail in history.replies_read()]
    assert [type(detail) for detail in replies] == [UssdReplyRead]


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (EventType.CANCELLED, '{"reason":"moved"}'),
        (EventType.CANCELLED, '{"words":"hmac-sha256:00"}'),
        (EventType.RELEASED, "{}"),
        (EventType.RESENT, '{"text":"request"}'),
        (EventType.REWIND_ACCEPTED, '{"seq":1,"hash":"","known_seq":2,"found_by":"sdu"}'),
        (EventType.REPLY_ACCEPTED, '{"by":"ops","link":"kcell","reply":"hmac-sha256:00"}'),
    ],
)
def test_an_act_from_before_its_actor_was_kept_is_read(event: EventType, detail: str) -> None:
    read = parse_detail(event, detail)
    assert getattr(read, "by", None) in (None, "ops")
    with_actor = detail.replace("}", ("," if detail != "{}" else "") + '"by":"olga"}')
    if event is not EventType.REPLY_ACCEPTED:  # it always had one
        assert getattr(parse_detail(event, with_actor), "by", None) == "olga"
