"""What torture, attacks and fuzzing count as an exception in a gateway's log."""

import asyncio
import io
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog
from fuzzing import watched
from logged import exceptions

from gateway.logs import log
from gateway.logs.log import Event


@pytest.fixture
def lines() -> Iterator[io.BytesIO]:
    """What is logged; the fixture restores logging afterwards."""
    handlers, level, settings = logging.root.handlers, logging.root.level, structlog.get_config()
    stream = io.BytesIO()
    log.configure("info", stream)
    yield stream
    log.configure("info", None)
    structlog.configure(**settings)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def test_every_exception_in_a_log_is_counted_by_its_class(lines: io.BytesIO) -> None:
    for error in (AttributeError("'NoneType' object"), AssertionError(), asyncio.InvalidStateError("invalid")):
        log.get_logger().error(Event.TASK_FAILED, task="seal", exc_info=error)
    log.get_logger().warning(Event.TASK_FAILED, task="seal", error="AttributeError")
    assert exceptions(lines.getvalue()) == Counter(AttributeError=1, AssertionError=1, InvalidStateError=1)


def test_replies_that_a_database_could_not_store_are_no_fault_of_the_program(lines: io.BytesIO) -> None:
    log.get_logger().error(Event.INBOUND_NOT_STORED, pdus=1, exc_info=ConnectionResetError("gone"))
    log.get_logger().error(Event.INBOUND_NOT_STORED, pdus=1, exc_info=KeyError("link"))
    assert exceptions(lines.getvalue()) == Counter(KeyError=1)


def test_a_line_that_a_kill_has_cut_off_does_not_count(lines: io.BytesIO) -> None:
    log.get_logger().error(Event.TASK_FAILED, task="seal", exc_info=KeyError("link"))
    assert exceptions(lines.getvalue()[:-20]) == Counter()


def test_an_input_at_which_an_exception_is_logged_violates_the_rules_of_its_target(lines: io.BytesIO) -> None:
    def probe(octets: bytes) -> None:
        if octets == b"bad":
            log.get_logger().error(Event.CALL_FAILED, call="lookup", exc_info=TypeError("bytes"))

    probe_watched = watched(probe)
    probe_watched(b"good")
    with pytest.raises(AssertionError, match="TypeError"):
        probe_watched(b"bad")
    probe_watched(b"good")
