"""When the segments of a list leave, by link and hour: at the link's tps, questions in the send window only."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.config import Link
from gateway.config.model import SendWindow

SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24
_LEAST = 1e-6  # segments that are still to be sent, and not an error of the arithmetic


Hours = dict[int, int]
"""Segments by hour."""


class HourOfLink(NamedTuple):
    """Segments of one link in one clock hour; the first day is 1."""

    day: int
    hour: int
    link: str
    segments: int


class Load:
    """Gathers the segments and gives their hours. Instants are hours since the local midnight before the start."""

    def __init__(self, links: Sequence[Link], window: SendWindow) -> None:
        self.opens = window.opens.total_seconds() / SECONDS_PER_HOUR
        self.closes = window.closes.total_seconds() / SECONDS_PER_HOUR
        self._per_hour = {link.name: link.tps * SECONDS_PER_HOUR for link in links}
        self._questions: dict[str, Hours] = {link.name: defaultdict(int) for link in links}
        self._answers: dict[str, Hours] = {link.name: defaultdict(int) for link in links}
        self._first_wave = dict.fromkeys(self._per_hour, 0)
        self.by_link = dict.fromkeys(self._per_hour, 0)
        """All segments of each link."""

    def first_question(self, link: str, segments: int) -> float:
        """Adds a request that is there from the start; the hour at which it leaves, after those before it."""
        self._first_wave[link] += segments
        per_hour = self._per_hour[link]
        sending = self._first_wave[link] / per_hour if per_hour else 0.0
        open_hours = self.closes - self.opens
        day, into = divmod(sending, open_hours)
        at = day * HOURS_PER_DAY + self.opens + into
        self._add(self._questions, link, at, segments)
        return at

    def question(self, link: str, segments: int, ready: float) -> float:
        """Adds a request or repeat that is ready at that hour; the hour at which the window lets it leave."""
        day, into = divmod(ready, HOURS_PER_DAY)
        if into >= self.closes:
            day, into = day + 1, 0.0
        at = day * HOURS_PER_DAY + max(into, self.opens)
        self._add(self._questions, link, at, segments)
        return at

    def answer(self, link: str, segments: int, at: float) -> None:
        """Adds a text after a reply: it leaves at any hour."""
        self._add(self._answers, link, at, segments)

    def hours(self) -> Iterator[HourOfLink]:
        """Every hour of every link with segments in it, none above the link's tps."""
        for link, per_hour in self._per_hour.items():
            for hour, segments in self._served(self._questions[link], self._answers[link], per_hour):
                yield HourOfLink(hour // HOURS_PER_DAY + 1, hour % HOURS_PER_DAY, link, segments)

    def _add(self, to: dict[str, Hours], link: str, at: float, segments: int) -> None:
        to[link][int(at)] += segments
        self.by_link[link] += segments

    def _served(self, questions: Hours, answers: Hours, per_hour: float) -> Iterator[tuple[int, int]]:
        """What leaves in each hour: texts after replies first; what does not fit waits for the next one."""
        due = sorted(questions.keys() | answers.keys())
        if not due:
            return
        hour, asking, answering, left, told = due[0], 0.0, 0.0, 0.0, 0
        while hour <= due[-1] or asking + answering >= _LEAST:
            asking += questions.get(hour, 0)
            answering += answers.get(hour, 0)
            answered = min(answering, per_hour or math.inf)
            room = (per_hour - answered if per_hour else math.inf) if (share := self._open_share(hour)) else 0.0
            asked = min(asking, room * share)
            answering, asking, left = answering - answered, asking - asked, left + answered + asked
            if (segments := round(left) - told) > 0:
                yield hour, segments
                told += segments
            hour += 1

    def _open_share(self, hour: int) -> float:
        """The share of the hour in which the window is open."""
        of_day = hour % HOURS_PER_DAY
        return max(0.0, min(self.closes, of_day + 1) - max(self.opens, of_day))
