"""Forged records of evidence: who rewrites the whole journal still needs a question and a reply that counts."""

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.evidence import digests, verification
from gateway.evidence.form import MAX_RECORD_BYTES, UnreadableRecordError, read_record
from tests.evidence.record_changes import Record, entry_of, journaled, redetailed, sealed

FILE = Path(__file__).parents[1] / "fixtures" / "v0_1_0" / "evidence.json"
OCTETS = FILE.read_bytes()
"""A consent of 0.1.0: the request, an unclear reply, a clarification, «3#1», and the voucher."""
FATHER = "77010000099"


@pytest.fixture
def record() -> Record:
    record: Record = json.loads(OCTETS)
    return record


def pointers(record: Record) -> set[str]:
    """Where the record does not hold."""
    return {fault.pointer for fault in verification.check(record)}


# JSON that can be read in two ways


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (OCTETS.replace(b'"text": "\xc2\xab3#1', b'"text": "3#2",\n "text": "\xc2\xab3#1', 1), "'text' twice"),
        (b'{"seal": 1, "seal": 1}', "'seal' twice"),
        (b'{"a": {"b": [{"c": 1, "\\u0063": 2}]}}', "'c' twice"),
        (b'{"seq": 1.0}', "1.0, which is no integer"),
        (b'{"seq": 1e3}', "1e3, which is no integer"),
        (b'{"seq": NaN}', "is not JSON"),
        (b'{"seq": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"text": "\\ud800"}', "is not JSON"),
        (b'{"text": "\xff"}', "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"[" * 500_000, "is not JSON"),
        (b"[" * 900 + b"]" * 900, None),
        (b"", "is not JSON"),
        (b" " * (MAX_RECORD_BYTES + 1), "has more than"),
    ],
    ids=range(14),
)
def test_json_that_can_be_read_in_two_ways_is_no_record(octets: bytes, reason: str | None) -> None:
    if reason is None:
        assert pointers(read_record(octets)) == {""}  # type: ignore[arg-type]
        return
    with pytest.raises(UnreadableRecordError) as caught:
        read_record(octets)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_octets_of_a_record_are_read_as_they_stand() -> None:
    assert read_record(OCTETS) == json.loads(OCTETS)
    assert verification.check(read_record(OCTETS)) == []


@pytest.mark.parametrize("value", [None, [], "", 1, True, {}, [{}], {"format": "gateway-evidence-1"}])
def test_any_other_json_is_no_record_and_no_exception(value: object) -> None:
    assert verification.check(value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("comment",), "seen and approved"),
        (("case", "verdict"), "agree"),
        (("case", "rules", "agree_also"), "2"),
        (("case", "record", "pupil", "name"), "another"),
        (("texts", 0, "body_as_sent"), "3#1"),
        (("replies", 1, "text_as_typed"), "3#2"),
        (("journal", 0, "note"), ""),
        (("tree", "leaves"), []),
        (("texts", 0, "sms_id"), True),
        (("texts", 0, "segments"), "15"),
        (("replies", 1, "normalised"), 0),
        (("replies", 1, "octets"), "00AB00330023003100BB"),
        (("replies", 1, "octets"), "00ab 0033 0023 0031 00bb"),
        (("replies", 1, "data_coding"), -8),
        (("replies", 1, "received_at"), "2026-09-18T15:35:58.559708+05:00"),
        (("replies", 1, "received_at"), "2026-09-18T10:35:58.559708Z"),
        (("journal", 1, "before"), ""),
        (("journal", 1, "event_id"), ""),
        (("journal", 2, "event_id"), ""),
        (("journal", 1, "version"), 3),
        (("journal", 1, "seq"), 1 << 63),
        (("tree", "size"), 1 << 63),
        (("case", "key"), ""),
        (("case", "rules", "service"), "1" * 300_000),
        (("replies", 0, "text"), "|" * 300_000),
        (("replies", 0, "text"), "a" + "\u0301" * 500_000),
        (("texts", 0, "template_body"), "{a}" * 100_000),
        (("texts", 0, "message_ids"), ["1" * 256]),
        (("format",), "gateway-evidence-2"),
        (("format",), "gateway-evidence-3"),
    ],
)
def test_a_field_that_is_unknown_too_long_or_spelt_otherwise_is_rejected(
    record: Record, place: tuple[str | int, ...], value: object
) -> None:
    holder: Any = record
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    assert pointers(sealed(record))


def filled_from_nothing_but_fields(record: Record) -> None:
    """A template that could be matched with its text in very many ways, each of them in vain."""
    body = "{a}" * 14 + "x"
    template = hashlib.sha256(body.encode()).hexdigest()[:12]
    record["texts"][0] |= {"template": template, "template_body": body, "body": "a" * 3000}


def codes_without_end(record: Record) -> None:
    record["case"]["rules"]["service"] = "1" * 300_000
    record["replies"][0]["text"] = "|" * 300_000


@pytest.mark.parametrize(
    ("forge", "pointer"), [(filled_from_nothing_but_fields, "/texts/0/body"), (codes_without_end, "/case/rules")]
)
@pytest.mark.usefixtures("cpu_limit")
def test_a_forged_record_costs_little_cpu_time(
    record: Record, forge: Callable[[Record], None], pointer: str
) -> None:
    forge(record)
    assert any(found.startswith(pointer) for found in pointers(sealed(record)))


@pytest.mark.parametrize("part", ["texts", "replies", "journal"])
def test_a_missing_field_is_refused(record: Record, part: str) -> None:
    for name in record[part][0]:
        shorter = copy.deepcopy(record)
        del shorter[part][0][name]
        assert f"/{part}/0/{name}" in pointers(sealed(shorter))


# A rebuilt journal


def test_a_record_whose_journal_was_rebuilt_without_another_change_holds(record: Record) -> None:
    assert verification.check(journaled(record)) == []
    assert verification.check(journaled(record, version=2)) == []


@pytest.mark.parametrize(
    "detail",
    [
        '{"relation":"mother","relation":"father"}',
        '{"relation":"mother","also":"father"}',
        '{"relation": "mother"}',
        '{"relation":"\\u006dother"}',
        '{"relation":["mother"]}',
        '{"relation":null}',
        "{}",
        "[]",
        "null",
        "",
        "{" * 5000,
    ],
)
def test_a_detail_that_the_gateway_does_not_write_is_found(record: Record, detail: str) -> None:
    entry_of(record, "number_found")["detail"] = detail
    assert "/journal/1" in pointers(journaled(record))


@pytest.mark.parametrize("event", ["no_such_event", "", "Consented"])
def test_an_event_that_does_not_exist_is_found(record: Record, event: str) -> None:
    entry_of(record, "text_delivered")["event"] = event
    assert f"/journal/{len(record['journal']) - 1}" in pointers(journaled(record))


def test_an_event_id_where_none_belongs_is_found(record: Record) -> None:
    entry_of(record, "text_accepted")["event_id"] = entry_of(record, "asked")["event_id"]
    assert "/journal/3/event_id" in pointers(journaled(record))
    entry_of(record, "text_accepted")["event_id"] = None
    entry_of(record, "asked")["event_id"] = None
    assert "/journal/4/event_id" in pointers(journaled(record))


def test_the_version_of_the_hash_never_falls(record: Record) -> None:
    later = len(record["journal"]) // 2
    for entry in record["journal"][later:]:
        entry["version"] = 2
    assert verification.check(journaled(record)) == []
    record["journal"][-1]["version"] = 1
    assert pointers(journaled(record)) == {f"/journal/{len(record['journal']) - 1}"}


def without_question(record: Record) -> None:
    record["texts"] = [text for text in record["texts"] if text["kind"] != "request"]
    record["journal"].remove(entry_of(record, "text_queued"))
    record["journal"].remove(entry_of(record, "text_accepted"))


def question_after_the_reply(record: Record) -> None:
    queued = entry_of(record, "text_queued")
    record["journal"].remove(queued)
    record["journal"].insert(record["journal"].index(entry_of(record, "consented")), queued)
    queued["at_us"] = entry_of(record, "consented")["at_us"]
    record["texts"][0]["created_at"] = record["case"]["answered_at"]


def question_to_another_number(record: Record) -> None:
    record["texts"][0]["msisdn"] = FATHER


def case_of_another_number(record: Record) -> None:
    record["case"]["msisdn"] = FATHER


def question_that_is_a_clarification(record: Record) -> None:
    record["texts"][0]["kind"] = "clarify"
    redetailed(entry_of(record, "text_queued"), text="clarify")
    redetailed(entry_of(record, "text_accepted"), text="clarify")


def reply_held_for_its_link(record: Record) -> None:
    read = entry_of(record, "reply_read", nth=2)
    detail = digests_of(link="kcell", operator="tele2")
    held = read | {"event": "reply_held", "event_id": entry_of(record, "asked")["event_id"], "detail": detail}
    record["journal"].insert(record["journal"].index(read) + 1, held)


def reply_by_a_link_that_may_not(record: Record) -> None:
    route(record, ["tele2", "beeline"])


def reply_by_ussd_by_a_link_that_may_not(record: Record) -> None:
    """Another input of its kind: the links are those of a dialogue's detail."""
    route(record, ["tele2"], ussd=True, session="0001")


def reply_that_no_link_may_carry(record: Record) -> None:
    route(record, [])


def route(record: Record, links: list[str] | None, **ussd: object) -> None:
    """Gives the reply that counted the links by which it might come; its own is `kcell`."""
    read, reply = entry_of(record, "reply_read", nth=2), record["replies"][1]
    detail = json.loads(read["detail"])
    digest = detail.pop("reply")
    if ussd:
        identity = digests.reply_identity(
            reply["link"], reply["source_addr"], reply["destination_addr"], bytes.fromhex(reply["octets"]),
            reply["smsc_time"], "0001",
        )  # fmt: skip
        digest = digests.keyed_hash(bytes.fromhex(record["case"]["key"]), identity)
        reply["digest"], record["case"]["evidence"] = digest, digest.removeprefix("hmac-")
    read["detail"] = orjson.dumps(detail | ussd | {"may_come_by": links, "reply": digest}).decode()


def another_reply_accepted(record: Record) -> None:
    reply_held_for_its_link(record)
    consented = entry_of(record, "consented")
    reply = record["replies"][0]["digest"]
    detail = digests_of(by="ops", link="kcell", reply=reply)
    accepted = consented | {"event": "reply_accepted", "event_id": None, "detail": detail}
    record["journal"].insert(record["journal"].index(consented), accepted)


def consent_of_the_unclear_reply(record: Record) -> None:
    record["case"]["evidence"] = record["replies"][0]["digest"].removeprefix("hmac-")
    record["case"]["answered_at"] = record["replies"][0]["received_at"]


def consent_at_another_time(record: Record) -> None:
    entry_of(record, "consented")["at_us"] += 1_000_000


def consent_with_another_reply_at(record: Record) -> None:
    redetailed(entry_of(record, "consented"), reply_at="2026-09-18T15:35:59.559+05:00")


def consent_before_its_reply(record: Record) -> None:
    consented = entry_of(record, "consented")
    record["journal"].remove(consented)
    record["journal"].insert(record["journal"].index(entry_of(record, "reply_read", nth=2)), consented)


def second_consent(record: Record) -> None:
    consented = entry_of(record, "consented")
    record["journal"].insert(record["journal"].index(consented), dict(consented))


def consent_after_the_end(record: Record) -> None:
    entry_of(record, "asked")["event"] = "cancelled"
    entry_of(record, "cancelled")["detail"] = digests_of(reason="moved away")


def consent_without_an_end_of_the_look_up(record: Record) -> None:
    record["journal"].remove(entry_of(record, "number_found"))


def verdict_of_another_text(record: Record) -> None:
    """The octets decode otherwise in another alphabet; only the link's default may be packed."""
    record["replies"][0] |= {"default_alphabet": "packed", "text": "иә"}


def answer_too_long_to_be_one(record: Record) -> None:
    text = "3#1" + " " * 2000
    reply, key = record["replies"][1], bytes.fromhex(record["case"]["key"])
    reply |= {"octets": text.encode("utf-16-be").hex(), "text": text}
    identity = digests.reply_identity(
        reply["link"],
        reply["source_addr"],
        reply["destination_addr"],
        text.encode("utf-16-be"),
        reply["smsc_time"],
    )
    reply["digest"] = digests.keyed_hash(key, identity)
    redetailed(entry_of(record, "reply_read", nth=2), reply=reply["digest"])
    record["case"]["evidence"] = reply["digest"].removeprefix("hmac-")


def agreement_read_from_an_unclear_text(record: Record) -> None:
    consent_of_the_unclear_reply(record)
    read = entry_of(record, "reply_read")
    redetailed(read, verdict="agree")
    record["replies"][0]["verdict"] = "agree"
    record["journal"].remove(entry_of(record, "reply_unclear"))
    consented = entry_of(record, "consented")
    consented["at_us"] = read["at_us"]
    redetailed(consented, reply_at="2026-09-18T15:14:41.351+05:00")


def texts_in_another_order(record: Record) -> None:
    record["texts"].reverse()


def digests_of(**fields: str) -> str:
    """A detail with these fields, as the gateway writes it."""
    return orjson.dumps(fields).decode()


FORGERIES: list[tuple[Callable[[Record], None], str]] = [
    (without_question, "/replies/1"),
    (question_after_the_reply, "/replies/1"),
    (question_to_another_number, "/replies/1"),
    (case_of_another_number, "/replies/1/source_addr"),
    (question_that_is_a_clarification, "/replies/1"),
    (reply_held_for_its_link, "/replies/1"),
    (reply_by_a_link_that_may_not, "/replies/1"),
    (reply_by_ussd_by_a_link_that_may_not, "/replies/1"),
    (reply_that_no_link_may_carry, "/replies/1"),
    (another_reply_accepted, "/replies/1"),
    (consent_of_the_unclear_reply, "/case/evidence"),
    (consent_at_another_time, "/replies/1"),
    (consent_with_another_reply_at, "/replies/1"),
    (consent_before_its_reply, "/replies/1"),
    (second_consent, "/journal"),
    (consent_after_the_end, "/journal/10"),
    (consent_without_an_end_of_the_look_up, "/journal/3"),
    (verdict_of_another_text, "/replies/0/text"),
    (answer_too_long_to_be_one, "/replies/1/verdict"),
    (agreement_read_from_an_unclear_text, "/replies/0/verdict"),
    (texts_in_another_order, "/texts"),
]


@pytest.mark.parametrize(("forge", "pointer"), FORGERIES, ids=[forge.__name__ for forge, _ in FORGERIES])
def test_a_forged_consent_is_found_though_the_journal_was_rebuilt(
    record: Record, forge: Callable[[Record], None], pointer: str
) -> None:
    forge(record)
    assert pointer in pointers(journaled(record))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "consented"),
        ("state", "refused"),
        ("state", "waiting"),
        ("state", "no state"),
        ("opened_at", "2026-09-18T07:04:18.526509+00:00"),
        ("ended_at", None),
        ("ended_at", "2026-09-18T10:39:34+00:00"),
        ("erased_at", "2026-09-18T10:39:34+00:00"),
        ("voucher_id", "V-000015"),
        ("voucher_id", None),
        ("answered_at", None),
        ("evidence", None),
    ],
)
def test_a_state_or_instant_that_does_not_follow_from_the_journal_is_found(
    record: Record, field: str, value: str | None
) -> None:
    record["case"][field] = value
    assert pointers(sealed(record)) <= {f"/case/{field}", "/case/evidence", "/case/answered_at"}
    assert pointers(sealed(record))


def test_a_clear_text_of_which_segments_may_be_missing_is_unclear(record: Record) -> None:
    """«3#1» was the first segment of a longer reply that never came."""
    last = record["replies"][1]
    last["verdict"] = "unclear"
    redetailed(entry_of(record, "reply_read", nth=2), verdict="unclear")
    kept = {"received", "number_found", "text_queued", "text_accepted", "asked", "reply_read", "reply_unclear"}
    of_text_3 = '"sms_id":33'
    record["journal"] = [e for e in record["journal"] if e["event"] in kept and of_text_3 not in e["detail"]]
    del record["texts"][2]
    record["case"] |= {
        "state": "asked",
        "ended_at": None,
        "answered_at": None,
        "evidence": None,
        "voucher_id": None,
    }
    assert verification.check(journaled(record)) == []


@pytest.mark.parametrize("links", [None, ["kcell"], ["beeline", "kcell"]])
@pytest.mark.parametrize("ussd", [{}, {"ussd": True, "session": "0001"}])
def test_a_reply_by_a_link_that_may_carry_it_holds(
    record: Record, links: list[str] | None, ussd: dict[str, object]
) -> None:
    route(record, links, **ussd)
    assert verification.check(journaled(record)) == []


def test_a_held_reply_counts_once_it_was_accepted(record: Record) -> None:
    another_reply_accepted(record)
    redetailed(entry_of(record, "reply_accepted"), reply=record["replies"][1]["digest"])
    assert verification.check(journaled(record)) == []


def test_a_text_to_another_number_does_not_fit_its_digest(record: Record) -> None:
    """Since the digest of a text covers its number."""
    key = bytes.fromhex(record["case"]["key"])
    for n, text in enumerate(record["texts"], start=1):
        queued = entry_of(record, "text_queued", n)
        detail = json.loads(queued["detail"])
        del detail["body"]
        detail["sent"] = digests.keyed_hash(key, digests.sent_text(text["msisdn"], text["body"]))
        queued["detail"] = digests_of(**detail)
    assert verification.check(journaled(record)) == []
    record["texts"][1]["msisdn"] = FATHER
    assert pointers(journaled(record)) == {"/texts/1/body"}


# The sender as it came


def received_from(record: Record, addr: str, ton: int) -> Record:
    """The record with that sender of the reply that consented, under recomputed digests and a rebuilt journal."""
    reply, case = record["replies"][1], record["case"]
    reply |= {"received_addr": addr, "source_ton": ton, "source_npi": 1}
    identity = digests.reply_identity(
        reply["link"], reply["source_addr"], reply["destination_addr"], bytes.fromhex(reply["octets"]),
        reply["smsc_time"], None, digests.Sender(addr, ton, 1),
    )  # fmt: skip
    reply["digest"] = digests.keyed_hash(bytes.fromhex(case["key"]), identity)
    case["evidence"] = reply["digest"].removeprefix("hmac-")
    redetailed(entry_of(record, "reply_read", nth=2), reply=reply["digest"])
    return journaled(record)


def test_a_reply_with_its_sender_as_it_came_holds(record: Record) -> None:
    number = record["replies"][1]["source_addr"]
    for addr in (number, f"+{number}", f"8{number[1:]}"):
        assert verification.check(received_from(record, addr, 1)) == []


@pytest.mark.parametrize(("addr", "ton"), [("A{}", 1), ("{}", 5), ("A{}", 5), (FATHER, 1), ("", 0), ("{}0", 1)])
def test_a_reply_of_which_the_sender_was_another_is_found(record: Record, addr: str, ton: int) -> None:
    number = record["replies"][1]["source_addr"]
    assert "/replies/1/received_addr" in pointers(received_from(record, addr.format(number), ton))


def test_a_sender_that_its_digest_does_not_have_is_found(record: Record) -> None:
    changed = received_from(record, record["replies"][1]["source_addr"], 1)
    changed["replies"][1]["source_npi"] = 9
    assert "/replies/1/octets" in pointers(sealed(changed))
    for name in ("received_addr", "source_ton", "source_npi"):
        del changed["replies"][1][name]
    assert "/replies/1/octets" in pointers(sealed(changed))
