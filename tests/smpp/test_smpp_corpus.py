"""What was ever strange on the wire, octet for octet, under the rules of `fuzz_target`; and changed at random.

The files are streams of PDUs as they came from a socket, one defect or peculiarity each, and named after it:
`spec-` examples of the specifications, `smpplib-` that library's own encoding, `found-` what scripts/fuzz came
upon, and otherwise the place where the peculiarity sits.
"""

from pathlib import Path
from random import Random

import fuzzing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.session import Session
from tests.smpp.fuzz_target import (
    BEGINNINGS,
    EARLIER,
    cut_costs_nothing,
    deliveries,
    earlier_pdus_are_kept,
    ends_in_order,
    probe,
    read_body,
)

FILES = sorted((Path(__file__).parent / "corpus").iterdir())
STREAMS = [file.read_bytes() for file in FILES]
each_stream = pytest.mark.parametrize("octets", STREAMS, ids=[file.stem for file in FILES])


@each_stream
def test_each_stream_of_the_corpus_means_the_same_whole_and_byte_by_byte(octets: bytes) -> None:
    cut_costs_nothing(octets)


@each_stream
def test_no_stream_of_the_corpus_costs_a_pdu_that_came_before(octets: bytes) -> None:
    earlier_pdus_are_kept(octets)
    assert deliveries(EARLIER + octets)[0].sequence_number == 77


@each_stream
def test_after_each_stream_of_the_corpus_every_segment_has_one_outcome(octets: bytes) -> None:
    for begin, under_way in BEGINNINGS.items():
        ends_in_order(begin(), octets, under_way)


@each_stream
def test_every_reader_stands_each_message_of_the_corpus(octets: bytes) -> None:
    for body in {octets, octets[16:], *(received.body for received in deliveries(octets))}:
        read_body(body)


def test_the_corpus_is_small() -> None:
    assert 100 < len(STREAMS) < 200
    assert sum(map(len, STREAMS)) < 200_000
    assert len(set(STREAMS)) == len(STREAMS)


@given(st.randoms(use_true_random=False))
def test_streams_of_the_corpus_changed_at_random_break_no_rule(dice: Random) -> None:
    probe(fuzzing.mutated(dice, STREAMS))


def test_a_rule_that_is_broken_is_found_and_its_octets_are_kept(tmp_path: Path) -> None:
    def forbids_two_pdus(octets: bytes) -> None:
        assert len(deliveries(octets)) < 2

    tried, wrong = fuzzing.mutate_randomly(STREAMS, forbids_two_pdus, seconds=60, seed=1, kept=tmp_path)
    assert tried > 0
    assert wrong is not None
    assert len(deliveries(wrong.read_bytes())) >= 2


def test_a_session_that_loses_the_pdu_before_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Session.receive
    monkeypatch.setattr(Session, "receive", lambda self, data, now: receive(self, data, now)[1:])
    with pytest.raises(AssertionError):
        earlier_pdus_are_kept(b"")


def test_a_session_that_keeps_all_it_hears_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Session.receive

    def hoard(self: Session, data: bytes, now: float) -> object:
        events = receive(self, data, now)
        self._pending += bytes(65_536)
        return events

    monkeypatch.setattr(Session, "receive", hoard)
    with pytest.raises(AssertionError, match="more is kept"):
        earlier_pdus_are_kept(b"")
