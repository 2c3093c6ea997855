"""The run as it is shown: a live screen on a terminal, plain lines elsewhere."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Line

from gateway.demo.clock import ObservedClock
from gateway.demo.parents import Exchange

FRAMES_PER_SECOND = 5
HEADING_LINES = 3
NEWS_LINES = 4
MAX_EXCHANGES = 100
BAR_COLUMNS = 14
WIDE_COLUMNS = 100
"""The width from which on there is room for bars and dates."""
PLAIN_WIDTH = 110
_COLOURS = {
    "consented": "green",
    "voucher_issued": "green",
    "voucher_rejected": "yellow",
    "refused": "magenta",
    "no_number": "yellow",
    "no_answer": "yellow",
    "undeliverable": "red",
    "cancelled": "red",
    "parked": "red",
}


@dataclass(slots=True)
class Figures:
    """The numbers that are shown."""

    progress: Mapping[str, int] = field(default_factory=dict)
    """Cases by state, as GET /v1/lists/{id} has them."""
    complete: int = 0
    """Cases in which everything that the scenario requires has been seen."""
    cases: int = 0
    segments: int = 0
    segments_per_second: float = 0.0
    replies: int = 0
    statuses: int = 0


class PipeConsole(Console):
    """A console whose reader may leave, as `head` does: the demo then stops, as when its terminal closes."""

    def on_broken_pipe(self) -> None:
        """Writes nothing more and sends this process SIGHUP."""
        self.quiet = True
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        signal.raise_signal(signal.SIGHUP)


class PlainScreen:
    """Lines without escape codes: news, a summary a day, and the exchanges of the first family of each kind."""

    def __init__(self, console: Console, clock: ObservedClock) -> None:
        self.console = console
        self._clock = clock
        self._shown: dict[str, int] = {}
        self._summary_day = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """What is drawn inside the block is shown."""
        yield

    def add_news(self, news: str) -> None:
        """Something happens to a partner."""
        self._line(f"*  {news}")

    def add_exchange(self, exchange: Exchange) -> None:
        """A text on a handset, or a reply."""
        family = exchange.family
        if self._shown.setdefault(family.kind.name, family.number) == family.number:
            line = Line(_exchange(exchange))
            line.truncate(PLAIN_WIDTH, overflow="ellipsis")
            self._line(line.plain)

    def draw(self, figures: Figures) -> None:
        """The numbers have changed."""
        today = f"{self._clock.now():%j}" if self._clock.now() else ""
        if today and today != self._summary_day:
            self._summary_day = today
            counts = ", ".join(f"{count} {state}" for state, count in figures.progress.items() if count)
            self._line(f"=  {counts}")

    def _line(self, text: str) -> None:
        self.console.print(f"{_moment(self._clock.now())}  {text}", highlight=False, markup=False, soft_wrap=True)


class LiveScreen(PlainScreen):
    """On a terminal: counts by state, the last exchanges, news, time and throughput."""

    def __init__(self, console: Console, clock: ObservedClock) -> None:
        super().__init__(console, clock)
        self._exchanges: deque[tuple[str, Exchange]] = deque(maxlen=MAX_EXCHANGES)
        self._news: deque[tuple[str, str]] = deque(maxlen=NEWS_LINES)
        self._figures = Figures()

    @contextmanager
    def shown(self) -> Iterator[None]:
        with Live(
            get_renderable=self._layout,
            console=self.console,
            screen=True,
            auto_refresh=True,
            refresh_per_second=FRAMES_PER_SECOND,
        ):
            yield

    def add_news(self, news: str) -> None:
        self._news.append((_moment(self._clock.now()), news))

    def add_exchange(self, exchange: Exchange) -> None:
        self._exchanges.append((_moment(self._clock.now()), exchange))

    def draw(self, figures: Figures) -> None:
        self._figures = figures

    @property
    def _is_wide(self) -> bool:
        return self.console.width >= WIDE_COLUMNS

    def _layout(self) -> RenderableType:
        layout = Layout()
        layout.split_column(
            Layout(self._heading(), size=HEADING_LINES),
            Layout(name="middle"),
            Layout(self._news_panel(), size=NEWS_LINES + 2),
        )
        layout["middle"].split_row(
            Layout(self._states(), size=40 if self._is_wide else 27), Layout(self._handsets())
        )
        return layout

    def _heading(self) -> RenderableType:
        figures = self._figures
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="center")
        line.add_column(justify="right")
        line.add_row(
            f"[bold]{_moment(self._clock.now())}[/] in Almaty",
            f"{figures.segments:,} segments sent",
            f"{figures.segments_per_second:,.0f} a second",
        )
        return Panel(line, title="free school meals, proactively", border_style="cyan")

    def _states(self) -> RenderableType:
        figures = self._figures
        table = Table.grid(padding=(0, 1))
        table.add_column(min_width=16)
        table.add_column(justify="right", min_width=4)
        table.add_column()
        most = max(figures.progress.values(), default=0) or 1
        for state, count in figures.progress.items():
            colour = _COLOURS.get(state, "blue")
            bar = ("█" * round(BAR_COLUMNS * count / most) or "▏" * bool(count)) if self._is_wide else ""
            table.add_row(state, str(count), f"[{colour}]{bar}[/]", style="" if count else "dim")
        done = f"{figures.complete} of {figures.cases} as expected"
        return Panel(table, title="cases", subtitle=done, border_style="cyan")

    def _handsets(self) -> RenderableType:
        height = max(4, self.console.height - HEADING_LINES - NEWS_LINES - 4)
        lines = []
        for moment, exchange in list(self._exchanges)[-height:]:
            line = Line(
                f"{moment[4:] if self._is_wide else moment[-5:]} ", style="dim", no_wrap=True, overflow="ellipsis"
            )
            line.append(_exchange(exchange), style="not dim" if exchange.to_parent else "not dim bold green")
            lines.append(line)
        count = f"{self._figures.replies} replies"
        return Panel(Group(*lines), title="on the parents' handsets", subtitle=count, border_style="cyan")

    def _news_panel(self) -> RenderableType:
        lines = [Line(f"{moment}  {news}", no_wrap=True, overflow="ellipsis") for moment, news in self._news]
        count = f"{self._figures.statuses:,} statuses pushed to SDU"
        return Panel(Group(*lines), title="at the partners", subtitle=count, border_style="cyan")


def screen(console: Console, clock: ObservedClock) -> PlainScreen:
    """The live screen on a terminal that can draw it, otherwise the plain one."""
    is_live = console.is_terminal and not console.is_dumb_terminal
    return LiveScreen(console, clock) if is_live else PlainScreen(console, clock)


def _moment(now: datetime | None) -> str:
    return f"{now:%a %d %b %H:%M}" if now else " " * 16


def _exchange(exchange: Exchange) -> str:
    number = exchange.family.msisdn or ""
    masked = f"+{number[:4]}•••••{number[-2:]}"
    return f"{'→' if exchange.to_parent else '←'} {masked} {' '.join(exchange.text.split())}"
