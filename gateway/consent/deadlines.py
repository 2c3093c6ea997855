"""When a question is repeated and when it ends: calendar days on local dates, never hours.

With D the local date on which the SMSC accepted the last segment, answers count through D+3, 24:00. The
repeat is due on D+4, at the first moment of the send window. With D' the date of the last repeat, the case
ends at D'+4, 00:00, plus a grace for replies in flight (order A1 §10). Instants go in and come out as aware
datetimes; those computed here are UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_SEND_WINDOW = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_A_DAY = timedelta(days=1)


def parse_send_window(text: str) -> tuple[timedelta, timedelta]:
    """``09:00-21:00`` as what the local clock shows when the window opens and when it closes.

    ``00:00-24:00`` is always. Raises ValueError for anything else, and for a window that is empty or crosses
    midnight.
    """
    times = _SEND_WINDOW.fullmatch(text)
    if times is None:
        raise ValueError(f"not a window like 09:00-21:00: {text!r}")
    hour, minute, closing_hour, closing_minute = map(int, times.groups())
    opens = timedelta(hours=hour, minutes=minute)
    closes = timedelta(hours=closing_hour, minutes=closing_minute)
    if closes > _A_DAY:
        raise ValueError(f"later than 24:00: {text!r}")
    if opens >= closes:
        raise ValueError(f"closes before it opens: {text!r}")
    return opens, closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Local dates, the days to answer, and the daily window for sending.

    ``window_opens`` and ``window_closes`` are readings of the local clock, as ``parse_send_window`` gives
    them. Each date has one window; its opening belongs to it, its closing does not.
    """

    timezone: ZoneInfo
    answer_days: int
    grace: timedelta
    window_opens: timedelta
    window_closes: timedelta

    def local_date(self, at: datetime) -> date:
        """The date on the local calendar at that instant."""
        return at.astimezone(self.timezone).date()

    def repeat_at(self, accepted_at: datetime) -> datetime:
        """When the question accepted then is to be repeated."""
        return self._instant(self._day_after_answers(accepted_at), self.window_opens)

    def end_at(self, accepted_at: datetime) -> datetime:
        """When a case ends whose last question was accepted then, the grace included."""
        return self._instant(self._day_after_answers(accepted_at)) + self.grace

    def in_window(self, at: datetime) -> bool:
        """Whether requests and repeats may go out at that instant."""
        day = self.local_date(at)
        return self._instant(day, self.window_opens) <= at < self._instant(day, self.window_closes)

    def next_opening(self, at: datetime) -> datetime:
        """The first instant from ``at`` on inside the window: ``at`` itself when it is."""
        if self.in_window(at):
            return at
        day = self.local_date(at)
        opening = self._instant(day, self.window_opens)
        return opening if at < opening else self._instant(day + _A_DAY, self.window_opens)

    def school_year(self, at: datetime) -> str:
        """The school year as ``2026/2027``; it begins on 1 September."""
        year = self._school_year(at)
        return f"{year}/{year + 1}"

    def school_year_start(self, at: datetime) -> datetime:
        """The first instant of the school year that ``at`` belongs to."""
        return self._instant(date(self._school_year(at), 9, 1))

    def iso_local(self, at: datetime) -> str:
        """RFC 3339 with the local offset and milliseconds: ``2026-11-22T10:15:03.512+05:00``."""
        return at.astimezone(self.timezone).isoformat(timespec="milliseconds")

    def _day_after_answers(self, accepted_at: datetime) -> date:
        return self.local_date(accepted_at) + timedelta(days=self.answer_days + 1)

    def _school_year(self, at: datetime) -> int:
        day = self.local_date(at)
        return day.year if day.month >= 9 else day.year - 1

    def _instant(self, day: date, reading: timedelta = timedelta()) -> datetime:
        """When the local clock shows that reading on that date, the first time if it does so twice."""
        # Python adds to what the clock shows, not hours gone by; 24:00 becomes 00:00 of the next day.
        return (datetime.combine(day, time.min, self.timezone) + reading).astimezone(UTC)
