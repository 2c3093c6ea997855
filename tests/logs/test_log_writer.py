"""The log behind a pipe that nobody reads: whoever logs goes on, and what is lost is counted."""

import io
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.logs import log
from gateway.logs.log import Event, configure, get_logger, written_by_a_thread
from gateway.logs.writer import Importance, LineWriter

TIMEOUT_SECONDS = 30.0
LINE_BYTES = 200


class Pipe:
    """A real pipe, full of empty lines; nobody reads it until `reading`."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self.write_end, b"\n" * 4_096)
        os.set_blocking(self.write_end, True)

    def reading(self) -> "Reader":
        return Reader(self.read_end)

    def end(self) -> None:
        os.close(self.write_end)


class Reader(threading.Thread):
    """Reads a pipe until its other end is closed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(daemon=True)
        self._descriptor = descriptor
        self._octets = bytearray()
        self.start()

    def run(self) -> None:
        while octets := os.read(self._descriptor, 65_536):
            self._octets += octets
        os.close(self._descriptor)

    def lines(self) -> list[bytes]:
        self.join(TIMEOUT_SECONDS)
        assert not self.is_alive()
        return bytes(self._octets).split()


class Writer:
    """A writer to a pipe, and what it says that it lost."""

    def __init__(self, descriptor: int, max_queued_bytes: int = 1 << 20) -> None:
        self.dropped = Counter[Importance]()
        self.reported = 0
        self.was_reported = threading.Event()
        self.lines = LineWriter(
            descriptor, on_dropped=self._count, report=self._report, max_queued_bytes=max_queued_bytes
        )

    def add(self, text: str, importance: Importance = "info") -> None:
        self.lines.add(text.encode().ljust(LINE_BYTES - 1, b".") + b"\n", importance)

    def wait_until_stuck(self) -> None:
        """Returns when the thread has taken all lines, to write them to a pipe that is full."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.lines._queued_bytes:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def _count(self, importance: Importance) -> None:
        self.dropped[importance] += 1

    def _report(self, lines: int) -> None:
        self.reported += lines
        self.was_reported.set()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def texts(lines: list[bytes]) -> list[str]:
    return [line.decode().rstrip(".") for line in lines]


def test_lines_are_written_in_their_order_whatever_their_level(pipe: Pipe) -> None:
    reader, writer = pipe.reading(), Writer(pipe.write_end)
    for number in range(3_000):
        writer.add(str(number), "warning" if number % 3 == 0 else "info")
    assert writer.lines.close(TIMEOUT_SECONDS)
    pipe.end()
    assert texts(reader.lines()) == [str(number) for number in range(3_000)]
    assert not writer.dropped


def test_nobody_waits_for_a_pipe_that_is_not_read_and_the_newest_lines_and_all_warnings_stay(pipe: Pipe) -> None:
    writer = Writer(pipe.write_end, max_queued_bytes=100 * LINE_BYTES)
    for number in range(5_000):
        writer.add(f"info-{number}")
        if number % 100 == 0:
            writer.add(f"warning-{number}", "warning")
    assert not writer.lines.close(0.01), "its thread waits for the reader"
    reader = pipe.reading()
    writer.lines.close(TIMEOUT_SECONDS)
    pipe.end()
    found = texts(reader.lines())
    infos = [int(text.split("-")[1]) for text in found if text.startswith("info")]
    assert infos == sorted(infos)
    assert infos[-1] == 4_999, "the oldest lines are lost, not the newest"
    assert [text for text in found if text.startswith("warning")] == [f"warning-{n}" for n in range(0, 5_000, 100)]
    assert writer.dropped == {"info": 5_000 - len(infos)}


def test_warnings_are_dropped_only_when_no_other_line_is_left(pipe: Pipe) -> None:
    writer = Writer(pipe.write_end, max_queued_bytes=100 * LINE_BYTES)
    writer.add("warning-first", "warning")
    writer.wait_until_stuck()
    for number in range(2_000):
        writer.add(f"warning-{number}", "warning")
    writer.add("info")
    reader = pipe.reading()
    writer.lines.close(TIMEOUT_SECONDS)
    pipe.end()
    found = texts(reader.lines())
    assert found[-1] == "warning-1999"
    assert writer.dropped == {"info": 1, "warning": 2_001 - len(found)}


def test_lost_lines_are_reported_once_there_is_room_again(pipe: Pipe) -> None:
    writer = Writer(pipe.write_end, max_queued_bytes=10 * LINE_BYTES)
    for number in range(5_000):
        writer.add(str(number))
    assert writer.dropped["info"] > 0
    assert not writer.reported
    reader = pipe.reading()
    assert writer.was_reported.wait(TIMEOUT_SECONDS)
    assert writer.lines.close(TIMEOUT_SECONDS)
    pipe.end()
    assert writer.reported == writer.dropped["info"] == 5_000 - len(reader.lines())


def test_a_pipe_that_another_program_made_non_blocking_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)
    writer = Writer(pipe.write_end)
    for number in range(3_000):
        writer.add(str(number))
    reader = pipe.reading()
    assert writer.lines.close(TIMEOUT_SECONDS)
    pipe.end()
    assert len(reader.lines()) == 3_000


def test_lines_for_a_closed_pipe_or_a_full_disk_are_counted_and_stop_nobody(pipe: Pipe) -> None:
    os.close(pipe.read_end)
    full = os.open("/dev/full", os.O_RDWR)
    for descriptor in (pipe.write_end, full):
        writer = Writer(descriptor)
        writer.add("one")
        writer.add("two", "warning")
        assert writer.lines.close(TIMEOUT_SECONDS)
        assert (writer.dropped, writer.reported) == ({"info": 1, "warning": 1}, 0)
        os.close(descriptor)


@pytest.fixture
def restored() -> Iterator[None]:
    """Restores logging afterwards."""
    handlers, level, settings = logging.root.handlers, logging.root.level, structlog.get_config()
    yield
    log._lines.writer = None
    configure("info", None)
    structlog.configure(**settings)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def count(dropped: Counter[str]) -> Callable[[str], None]:
    return lambda level: dropped.update([level])


def logged(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_the_log_is_written_by_a_thread_inside_the_block_and_whole_at_its_end(
    tmp_path: Path, restored: None
) -> None:
    file, dropped = tmp_path / "log", Counter[str]()
    with file.open("wb") as stream:
        configure("info", stream)
        with written_by_a_thread(count(dropped), flush_timeout_seconds=TIMEOUT_SECONDS):
            for number in range(1_000):
                get_logger().info(Event.STARTED, port=number)
            logging.getLogger("aiohttp").error("of a library")
        assert [line.get("port") for line in logged(file)] == [*range(1_000), None]
        get_logger().info(Event.STOPPED)
    assert logged(file)[-1]["event"] == "stopped"
    assert not dropped


def test_a_pipe_that_nobody_reads_stops_neither_the_log_nor_its_end_and_the_loss_is_logged(
    pipe: Pipe, restored: None
) -> None:
    dropped = Counter[str]()
    with os.fdopen(pipe.write_end, "wb", buffering=0) as stream:
        configure("info", stream)
        with written_by_a_thread(count(dropped), max_queued_bytes=20_000, flush_timeout_seconds=TIMEOUT_SECONDS):
            for number in range(5_000):
                get_logger().info(Event.STARTED, port=number)
            get_logger().error(Event.FAILED)
            reader = pipe.reading()
    lines = [json.loads(line) for line in reader.lines()]
    written = [line["port"] for line in lines if line["event"] == "started"]
    assert dropped["info"] == 5_000 - len(written) > 0
    assert [line["level"] for line in lines if line["event"] == "failed"] == ["error"]
    assert sum(line["lines"] for line in lines if line["event"] == "log_lines_dropped") == dropped["info"]


def test_lines_after_the_end_of_a_block_whose_reader_has_stopped_wait_for_nobody(
    pipe: Pipe, restored: None
) -> None:
    with os.fdopen(pipe.write_end, "wb", buffering=0) as stream:
        configure("info", stream)
        with written_by_a_thread(lambda *_: None, max_queued_bytes=20_000, flush_timeout_seconds=0.01):
            for number in range(5_000):
                get_logger().info(Event.STARTED, port=number)
        get_logger().error(Event.FAILED)
        pipe.reading()
        assert log._lines.writer is not None
        assert log._lines.writer.close(TIMEOUT_SECONDS)  # before its descriptor is another file's


def test_a_stream_without_a_descriptor_is_written_at_once(restored: None) -> None:
    stream = io.BytesIO()
    configure("info", stream)
    with written_by_a_thread(lambda *_: None):
        get_logger().info(Event.STARTED)
        assert json.loads(stream.getvalue())["event"] == "started"
