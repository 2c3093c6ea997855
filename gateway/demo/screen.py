"""What one sees of the run: a live picture on a terminal, plain lines elsewhere."""

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

FRAMES_A_SECOND = 5
HEADING = 3
NEWS = 4
MAX_EXCHANGES = 100
BAR = 14
WIDE = 100
"""Columns from which on there is room for bars and dates."""
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
    """The numbers of one moment."""

    progress: Mapping[str, int] = field(default_factory=dict)
    """Cases by state, as GET /v1/lists/{id} has them."""
    told: int = 0
    """Cases that have ended as their scripts say."""
    cases: int = 0
    segments: int = 0
    segments_a_second: float = 0.0
    replies: int = 0
    statuses: int = 0


class Plain:
    """Lines without escape codes: what befalls the stage, a summary a day, and the first family of each kind."""

    def __init__(self, console: Console, clock: ObservedClock) -> None:
        self.console = console
        self._clock = clock
        self._shown: dict[str, int] = {}
        self._summed_up = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The picture stands inside the block."""
        yield

    def tell(self, news: str) -> None:
        """Something befalls the stage."""
        self._line(f"*  {news}")

    def hear(self, exchange: Exchange) -> None:
        """A text on a handset, or a reply."""
        family = exchange.family
        if self._shown.setdefault(family.role.name, family.number) == family.number:
            line = Line(_exchange(exchange))
            line.truncate(PLAIN_WIDTH, overflow="ellipsis")
            self._line(line.plain)

    def draw(self, figures: Figures) -> None:
        """The numbers have changed."""
        today = f"{self._clock.now():%j}" if self._clock.now() else ""
        if today and today != self._summed_up:
            self._summed_up = today
            counts = ", ".join(f"{count} {state}" for state, count in figures.progress.items() if count)
            self._line(f"=  {counts}")

    def _line(self, text: str) -> None:
        self.console.print(f"{_moment(self._clock.now())}  {text}", highlight=False, markup=False, soft_wrap=True)


class Picture(Plain):
    """The terminal's: counts by state, the last exchanges, the stage's news, time and throughput."""

    def __init__(self, console: Console, clock: ObservedClock) -> None:
        super().__init__(console, clock)
        self._exchanges: deque[tuple[str, Exchange]] = deque(maxlen=MAX_EXCHANGES)
        self._news: deque[tuple[str, str]] = deque(maxlen=NEWS)
        self._figures = Figures()

    @contextmanager
    def shown(self) -> Iterator[None]:
        with Live(
            get_renderable=self._picture,
            console=self.console,
            screen=True,
            auto_refresh=True,
            refresh_per_second=FRAMES_A_SECOND,
        ):
            yield

    def tell(self, news: str) -> None:
        self._news.append((_moment(self._clock.now()), news))

    def hear(self, exchange: Exchange) -> None:
        self._exchanges.append((_moment(self._clock.now()), exchange))

    def draw(self, figures: Figures) -> None:
        self._figures = figures

    @property
    def _is_wide(self) -> bool:
        return self.console.width >= WIDE

    def _picture(self) -> RenderableType:
        layout = Layout()
        layout.split_column(
            Layout(self._heading(), size=HEADING),
            Layout(name="middle"),
            Layout(self._world(), size=NEWS + 2),
        )
        layout["middle"].split_row(Layout(self._states(), size=40 if self._is_wide else 27), Layout(self._talk()))
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
            f"{figures.segments_a_second:,.0f} a second",
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
            bar = ("█" * round(BAR * count / most) or "▏" * bool(count)) if self._is_wide else ""
            table.add_row(state, str(count), f"[{colour}]{bar}[/]", style="" if count else "dim")
        done = f"{figures.told} of {figures.cases} as told"
        return Panel(table, title="cases", subtitle=done, border_style="cyan")

    def _talk(self) -> RenderableType:
        height = max(4, self.console.height - HEADING - NEWS - 4)
        lines = []
        for moment, exchange in list(self._exchanges)[-height:]:
            line = Line(
                f"{moment[4:] if self._is_wide else moment[-5:]} ", style="dim", no_wrap=True, overflow="ellipsis"
            )
            line.append(_exchange(exchange), style="not dim" if exchange.to_parent else "not dim bold green")
            lines.append(line)
        heard = f"{self._figures.replies} replies"
        return Panel(Group(*lines), title="on the parents' handsets", subtitle=heard, border_style="cyan")

    def _world(self) -> RenderableType:
        lines = [Line(f"{moment}  {news}", no_wrap=True, overflow="ellipsis") for moment, news in self._news]
        told = f"{self._figures.statuses:,} statuses told to SDU"
        return Panel(Group(*lines), title="in the stage", subtitle=told, border_style="cyan")


def screen(console: Console, clock: ObservedClock) -> Plain:
    """The picture where there is a terminal to draw it on."""
    draws = console.is_terminal and not console.is_dumb_terminal
    return Picture(console, clock) if draws else Plain(console, clock)


def _moment(now: datetime | None) -> str:
    return f"{now:%a %d %b %H:%M}" if now else " " * 16


def _exchange(exchange: Exchange) -> str:
    number = exchange.family.msisdn or ""
    masked = f"+{number[:4]}•••••{number[-2:]}"
    return f"{'→' if exchange.to_parent else '←'} {masked} {' '.join(exchange.text.split())}"
