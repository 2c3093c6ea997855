"""What an answer's status means for its segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.status import Kind, classify, description, name


@pytest.mark.parametrize(
    ("command_status", "kind", "called"),
    [
        (0x00, Kind.ACCEPTED, "ESME_ROK"),
        (0x58, Kind.THROTTLED, "ESME_RTHROTTLED"),
        (0x14, Kind.BUSY, "ESME_RMSGQFUL"),
        (0x08, Kind.BUSY, "ESME_RSYSERR"),
        (0x64, Kind.BUSY, "ESME_RX_T_APPN"),
        (0x0B, Kind.REFUSED, "ESME_RINVDSTADR"),
        (0x0A, Kind.REFUSED, "ESME_RINVSRCADR"),
        (0x45, Kind.REFUSED, "ESME_RSUBMITFAIL"),
        (0xFF, Kind.REFUSED, "ESME_RUNKNOWNERR"),
        (0x0400, Kind.REFUSED, "0x00000400"),  # the first of the vendors' own (SMPP 3.4 §5.1.3)
        (0xFFFFFFFF, Kind.REFUSED, "0xFFFFFFFF"),
    ],
)
def test_a_status_has_its_kind_and_its_name(command_status: int, kind: Kind, called: str) -> None:
    assert (classify(command_status, {}), name(command_status)) == (kind, called)


def test_a_links_table_overrides_what_the_specification_says() -> None:
    overrides = {0x0400: Kind.THROTTLED, 0x0B: Kind.BUSY, 0x14: Kind.REFUSED}
    assert {status: classify(status, overrides) for status in overrides} == overrides


def test_no_table_makes_an_accepted_segment_anything_else() -> None:
    assert classify(0, {0: Kind.REFUSED}) is Kind.ACCEPTED


@given(st.integers(0, 0xFFFFFFFF))
def test_every_status_has_a_kind_and_a_name(command_status: int) -> None:
    assert (classify(command_status, {}) is Kind.ACCEPTED) == (command_status == 0)
    assert name(command_status)


def test_a_status_is_described_for_people() -> None:
    assert description(0x58) == "Throttling error (ESME has exceeded allowed message limits)"
    assert description(0x0400) == ""
