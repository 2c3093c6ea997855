"""What a rehearsal calculates: outcomes, texts, segments and hours of every record."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, load
from gateway.config.model import SendWindow
from gateway.config.templates import load_templates
from gateway.consent.case import State
from gateway.consent.deadlines import parse_send_window
from gateway.consent.texts import Kind
from gateway.intake.records import Record, read_record
from gateway.rehearsal.load import Load
from gateway.rehearsal.parents import Behaviour, Parents, link_shares
from gateway.rehearsal.plan import Plan
from gateway.rehearsal.reading import Sample
from gateway.smpp.text import segment_count
from gateway.store.cases import name_of
from tests.rehearsal.rehearsed_lists import BEELINE, KCELL, configuration, record

ROOT = Path(__file__).parents[2]
REQUEST_SEGMENTS = 16  # of 1,014 UCS-2 units, 67 in a segment


def parents(config: Config, shares: dict[Behaviour, float] | None = None, seed: int = 0) -> Parents:
    return Parents(shares or {}, link_shares(config.links, {}), seed=seed, max_hours=36)


def plan_of(config: Config, records: list[dict[str, Any]], shares: dict[Behaviour, float]) -> Plan:
    plan = Plan(config, config.services["3"], parents(config, shares), keep_outcomes=True)
    for one in records:
        found = read_record(orjson.dumps(one))
        plan.add(found if isinstance(found, Record) else None)
    return plan


@pytest.mark.parametrize(
    ("behaviour", "journey", "state", "texts"),
    [
        (Behaviour.AGREE, {}, State.VOUCHER_ISSUED, {Kind.REQUEST: 1, Kind.AGREED: 1}),
        (Behaviour.REFUSE, {}, State.REFUSED, {Kind.REQUEST: 1, Kind.REFUSED: 1}),
        (Behaviour.UNCLEAR, {}, State.VOUCHER_ISSUED, {Kind.REQUEST: 1, Kind.CLARIFY: 1, Kind.AGREED: 1}),
        (Behaviour.UNCLEAR, {"clarify": False}, State.NO_ANSWER, {Kind.REQUEST: 1, Kind.REPEAT: 1}),
        (Behaviour.SILENT, {}, State.NO_ANSWER, {Kind.REQUEST: 1, Kind.REPEAT: 1}),
        (Behaviour.SILENT, {"repeats": 3}, State.NO_ANSWER, {Kind.REQUEST: 1, Kind.REPEAT: 3}),
        (Behaviour.UNDELIVERABLE, {}, State.UNDELIVERABLE, {Kind.REQUEST: 1, Kind.REPEAT: 1}),
        (Behaviour.NO_NUMBER, {}, State.NO_NUMBER, {}),
    ],
)
def test_a_rehearsed_parent_ends_the_case_and_causes_the_texts_of_its_behaviour(
    tmp_path: Path, behaviour: Behaviour, journey: dict[str, Any], state: State, texts: dict[Kind, int]
) -> None:
    config = load(configuration(tmp_path, journey=journey))
    plan = plan_of(config, [record(1)], {behaviour: 1.0} if behaviour is not Behaviour.SILENT else {})
    assert plan.outcome_of == {"r-1": state}
    assert plan.texts == texts
    assert plan.load.by_link["kcell"] == sum(hour.segments for hour in plan.load.hours())


def test_the_father_is_asked_when_a_text_does_not_reach_the_mother(tmp_path: Path) -> None:
    config = load(configuration(tmp_path, journey={"fallback_on_undeliverable": True}))
    father = {"father": record(2)["mother"]}
    plan = plan_of(config, [record(1, **father)], {Behaviour.UNDELIVERABLE: 1.0})
    assert plan.outcome_of == {"r-1": State.UNDELIVERABLE}
    assert plan.texts == {Kind.REQUEST: 2}


def test_a_link_without_receipts_does_not_learn_what_did_not_arrive(tmp_path: Path) -> None:
    config = load(configuration(tmp_path, {**KCELL, "receipts": "none"}))
    plan = plan_of(config, [record(1)], {Behaviour.UNDELIVERABLE: 1.0})
    assert plan.outcome_of == {"r-1": State.NO_ANSWER}


def test_siblings_are_asked_one_after_the_other(tmp_path: Path) -> None:
    plan = plan_of(load(configuration(tmp_path)), [record(1, mother=1), record(2, mother=1)], {})
    assert plan.waited == 1
    assert sorted({hour.day for hour in plan.load.hours()}) == [1, 5, 9, 13]


def test_repeated_pupils_are_duplicates_and_repeated_records_are_rejected(tmp_path: Path) -> None:
    again = {**record(1), "record_id": "r-9"}
    wrong = {**record(3), "pupil": None}
    plan = plan_of(load(configuration(tmp_path)), [record(1), again, record(1), wrong], {})
    assert (plan.records, plan.accepted, plan.duplicates, plan.rejected) == (4, 1, 1, 2)


def test_a_request_with_usual_names_has_sixteen_segments(tmp_path: Path) -> None:
    plan = plan_of(load(configuration(tmp_path)), [record(1)], {Behaviour.AGREE: 1.0})
    assert plan.segments[Kind.REQUEST] == REQUEST_SEGMENTS


def test_numbers_are_on_the_links_in_proportion_to_their_prefixes_or_as_given(tmp_path: Path) -> None:
    links = load(configuration(tmp_path, KCELL, BEELINE)).links
    assert [round(share, 2) for _, share in link_shares(links, {})] == [0.67, 0.33]
    assert [share for _, share in link_shares(links, {"beeline": 1.0})] == [0.0, 1.0]


def test_the_same_seed_makes_the_same_parents_and_another_one_others(tmp_path: Path) -> None:
    config = load(configuration(tmp_path))
    iins = [record(number)["mother"]["iin"] for number in range(50)]
    drawn = [[parents(config, seed=seed).of(iin) for iin in iins] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_sample_keeps_siblings_together_and_the_order_of_the_list(tmp_path: Path) -> None:
    sample = Sample(20, parents(load(configuration(tmp_path))))
    for number in range(200):
        line = orjson.dumps(record(number, mother=number // 2))
        found = read_record(line)
        assert isinstance(found, Record)
        sample.offer(line, orjson.loads(found.content))
    kept = [int(orjson.loads(line)["record_id"].removeprefix("r-")) for line in sample.lines()]
    assert len(kept) == 20
    assert kept == sorted(kept)
    assert kept[::2] == [number - 1 for number in kept[1::2]]
    assert not sample.whole


questions = st.lists(st.tuples(st.integers(1, 20), st.floats(0, 200)), min_size=1, max_size=40)


@given(
    questions=questions,
    tps=st.sampled_from([0.0005, 0.01, 1.0]),
    window=st.sampled_from(["09:00-21:00", "08:30-08:45"]),
)
def test_no_hour_has_more_than_the_link_may_send_and_no_segment_is_lost(
    questions: list[tuple[int, float]], tps: float, window: str
) -> None:
    opens, closes = parse_send_window(window)
    load = Load([_Paced(tps)], SendWindow(opens=opens, closes=closes))  # type: ignore[list-item]
    for place, (segments, ready) in enumerate(questions):
        if place % 3 == 0:
            load.first_question("kcell", segments)
        elif place % 3 == 1:
            load.question("kcell", segments, ready)
        else:
            load.answer("kcell", segments, ready)
    hours = list(load.hours())
    assert sum(hour.segments for hour in hours) == load.by_link["kcell"]
    assert all(hour.segments <= tps * 3600 + 1 for hour in hours)


class _Paced:
    """What Load reads of a link."""

    name = "kcell"

    def __init__(self, tps: float) -> None:
        self.tps = tps


names = st.text(st.sampled_from("АбвҚқӘіЁ-Az̆😀é"), min_size=1, max_size=60)


@given(people=st.lists(st.tuples(names, names, st.sampled_from(["kk", "ru"])), min_size=1, max_size=10))
def test_segments_by_the_lengths_of_names_are_those_of_the_texts(people: list[tuple[str, str, str]]) -> None:
    config = load(ROOT / "config.toml", secrets=False)
    service = config.services["3"]
    templates = load_templates(service.templates)
    plan, counted = Plan(config, service, parents(config)), 0
    for number, (mother, pupil, language) in enumerate(people):
        one = record(number, language=language)
        one["mother"]["surname"], one["pupil"]["surname"] = f"А{mother}"[:60], f"А{pupil}"[:60]
        found = read_record(orjson.dumps(one))
        plan.add(found if isinstance(found, Record) else None)
        if isinstance(found, Record):
            content = orjson.loads(found.content)
            recipient, of = (name_of(content["recipients"][0]), name_of(content["pupil"]))
            body = templates.render(
                Kind.REQUEST, language, recipient=recipient, pupil=of, link="", service="3", agree="1", refuse="2"
            ).body
            counted += segment_count(body, config.links[0].long_messages)
    assert plan.segments[Kind.REQUEST] == counted
