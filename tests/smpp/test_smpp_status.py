"""The kind and the name of a command_status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.status import StatusKind, classify, name


@pytest.mark.parametrize(
    ("command_status", "kind", "called"),
    [
        (0x00, StatusKind.ACCEPTED, "ESME_ROK"),
        (0x58, StatusKind.THROTTLED, "ESME_RTHROTTLED"),
        (0x14, StatusKind.BUSY, "ESME_RMSGQFUL"),
        (0x08, StatusKind.BUSY, "ESME_RSYSERR"),
        (0x64, StatusKind.BUSY, "ESME_RX_T_APPN"),
        (0x0B, StatusKind.REFUSED, "ESME_RINVDSTADR"),
        (0x0A, StatusKind.LINK, "ESME_RINVSRCADR"),
        (0x45, StatusKind.LINK, "ESME_RSUBMITFAIL"),
        (0xFF, StatusKind.UNCLEAR, "ESME_RUNKNOWNERR"),
        (0x0400, StatusKind.UNCLEAR, "0x00000400"),  # the first of the vendors' own (SMPP 3.4 §5.1.3)
        (0xFFFFFFFF, StatusKind.UNCLEAR, "0xFFFFFFFF"),
    ],
)
def test_a_status_has_its_kind_and_its_name(command_status: int, kind: StatusKind, called: str) -> None:
    assert (classify(command_status, {}), name(command_status)) == (kind, called)


def test_a_links_table_of_statuses_overrides_the_specification() -> None:
    overrides = {0x0400: StatusKind.THROTTLED, 0x0B: StatusKind.BUSY, 0x14: StatusKind.REFUSED}
    assert {status: classify(status, overrides) for status in overrides} == overrides


def test_no_table_of_statuses_overrides_status_0() -> None:
    assert classify(0, {0: StatusKind.REFUSED}) is StatusKind.ACCEPTED


@given(st.integers(0, 0xFFFFFFFF))
def test_every_status_has_a_kind_and_a_name(command_status: int) -> None:
    assert (classify(command_status, {}) is StatusKind.ACCEPTED) == (command_status == 0)
    assert name(command_status)
