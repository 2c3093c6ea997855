"""Unusual streams of octets, and random changes of them, under the rules of `fuzz_target`.

Each file of the corpus is a stream of PDUs with one defect or peculiarity, and is named after it: `spec-` for
examples of the specifications, `smpplib-` for that library's encoding, `found-` for findings of scripts/fuzz,
otherwise for the place of the peculiarity.
"""

from pathlib import Path
from random import Random

import fuzzing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.session import Session
from tests.smpp.fuzz_target import (
    EARLIER,
    START_STATES,
    WORDS,
    decode_body,
    deliveries,
    earlier_pdus_are_reported,
    ends_with_one_outcome_each,
    probe,
    splitting_changes_nothing,
)

FILES = sorted((Path(__file__).parent / "corpus").iterdir())
STREAMS = [file.read_bytes() for file in FILES]
each_stream = pytest.mark.parametrize("octets", STREAMS, ids=[file.stem for file in FILES])


@each_stream
def test_each_stream_of_the_corpus_has_the_same_events_whole_and_byte_by_byte(octets: bytes) -> None:
    splitting_changes_nothing(octets)


@each_stream
def test_no_stream_of_the_corpus_loses_a_pdu_before_it(octets: bytes) -> None:
    earlier_pdus_are_reported(octets)
    assert deliveries(EARLIER + octets)[0].sequence_number == 77


@each_stream
def test_after_each_stream_of_the_corpus_every_segment_has_one_outcome(octets: bytes) -> None:
    for begin, under_way in START_STATES.items():
        ends_with_one_outcome_each(begin(), octets, under_way)


@each_stream
def test_every_decoder_accepts_each_message_of_the_corpus_or_raises_malformed_pdu(octets: bytes) -> None:
    for body in {octets, octets[16:], *(received.body for received in deliveries(octets))}:
        decode_body(body)


def test_the_corpus_of_smpp_streams_is_small() -> None:
    assert 100 < len(STREAMS) < 200
    assert sum(map(len, STREAMS)) < 200_000
    assert len(set(STREAMS)) == len(STREAMS)


@given(st.randoms(use_true_random=False))
def test_streams_of_the_corpus_changed_at_random_break_no_rule(dice: Random) -> None:
    probe(fuzzing.mutated(dice, STREAMS, WORDS))


def test_the_fuzzer_finds_a_broken_rule_and_keeps_the_octets(tmp_path: Path) -> None:
    def forbids_two_pdus(octets: bytes) -> None:
        assert len(deliveries(octets)) < 2

    tried, wrong = fuzzing.mutate_randomly(
        STREAMS, forbids_two_pdus, WORDS, seconds=60, seed=1, kept=tmp_path / "wrong-"
    )
    assert tried > 0
    assert wrong is not None
    assert len(deliveries(wrong.read_bytes())) >= 2


def test_the_fuzzer_detects_a_session_that_loses_an_earlier_pdu(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Session.receive
    monkeypatch.setattr(Session, "receive", lambda self, data, now: receive(self, data, now)[1:])
    with pytest.raises(AssertionError):
        earlier_pdus_are_reported(b"")


def test_the_fuzzer_detects_a_session_that_keeps_every_octet(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Session.receive

    def keep_octets(self: Session[object], data: bytes, now: float) -> object:
        events = receive(self, data, now)
        self._pending += bytes(65_536)
        return events

    monkeypatch.setattr(Session, "receive", keep_octets)
    with pytest.raises(AssertionError, match="more is kept"):
        earlier_pdus_are_reported(b"")
