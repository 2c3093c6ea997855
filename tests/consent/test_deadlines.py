"""Calendar days in Almaty, including the day of 25 hours."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.timezones import load_timezone
from gateway.consent.deadlines import Calendar, parse_send_window

ALMATY = load_timezone("Asia/Almaty")


def calendar(window: str = "09:00-21:00", *, answer_days: int = 3, timezone: ZoneInfo = ALMATY) -> Calendar:
    opens, closes = parse_send_window(window)
    return Calendar(
        timezone=timezone,
        answer_days=answer_days,
        grace=timedelta(minutes=10),
        window_opens=opens,
        window_closes=closes,
    )


def almaty(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY, fold=fold).astimezone(UTC)


def test_a_request_accepted_on_monday_is_repeated_on_friday_and_ends_on_tuesday() -> None:
    monday = almaty("2026-11-23 10:00")
    friday = calendar().repeat_at(monday)
    assert friday == datetime(2026, 11, 27, 4, 0, tzinfo=UTC) == almaty("2026-11-27 09:00")
    assert calendar().end_at(friday) == datetime(2026, 11, 30, 19, 10, tzinfo=UTC) == almaty("2026-12-01 00:10")


@pytest.mark.parametrize("time", ["00:00:00", "09:00:00", "20:59:59", "23:59:59.999999"])
def test_deadlines_depend_only_on_the_local_date_of_acceptance(time: str) -> None:
    assert calendar().repeat_at(almaty(f"2026-11-23 {time}")) == almaty("2026-11-27 09:00")
    assert calendar().end_at(almaty(f"2026-11-23 {time}")) == almaty("2026-11-27 00:10")


def test_the_local_date_changes_at_midnight_in_almaty() -> None:
    assert calendar().local_date(datetime(2026, 11, 23, 18, 59, 59, tzinfo=UTC)) == date(2026, 11, 23)
    assert calendar().local_date(datetime(2026, 11, 23, 19, 0, tzinfo=UTC)) == date(2026, 11, 24)


def test_29_february_2024_lasted_25_hours() -> None:
    always = calendar("00:00-24:00")
    start, end = always.repeat_at(almaty("2024-02-25 12:00")), always.repeat_at(almaty("2024-02-26 12:00"))
    assert start == datetime(2024, 2, 28, 18, 0, tzinfo=UTC)
    assert end == datetime(2024, 2, 29, 19, 0, tzinfo=UTC)
    assert end - start == timedelta(hours=25)


@pytest.mark.parametrize("fold", [0, 1])
def test_both_occurrences_of_the_repeated_hour_belong_to_29_february(fold: int) -> None:
    at = almaty("2024-02-29 23:30", fold=fold)
    assert at == datetime(2024, 2, 29, 17 + fold, 30, tzinfo=UTC)
    assert calendar().local_date(at) == date(2024, 2, 29)
    assert calendar().repeat_at(at) == datetime(2024, 3, 4, 4, 0, tzinfo=UTC)
    assert calendar("22:00-24:00").in_window(at)


def test_days_across_29_february_2024_are_calendar_days() -> None:
    accepted_at = almaty("2024-02-27 10:00")  # still UTC+6
    assert calendar().repeat_at(accepted_at) == datetime(2024, 3, 2, 4, 0, tzinfo=UTC)  # UTC+5
    assert calendar().end_at(accepted_at) == datetime(2024, 3, 1, 19, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("08:59:59.999999", False),
        ("09:00:00", True),
        ("20:59:59.999999", True),
        ("21:00:00", False),
        ("00:00:00", False),
    ],
)
def test_the_send_window_includes_its_opening_and_excludes_its_closing(time: str, inside: bool) -> None:
    assert calendar().in_window(almaty(f"2026-11-23 {time}")) is inside


@pytest.mark.parametrize(
    ("at", "opening"),
    [
        ("2026-11-23 00:00", "2026-11-23 09:00"),
        ("2026-11-23 08:59:59", "2026-11-23 09:00"),
        ("2026-11-23 09:00", "2026-11-23 09:00"),
        ("2026-11-23 15:30", "2026-11-23 15:30"),
        ("2026-11-23 20:59:59", "2026-11-23 20:59:59"),
        ("2026-11-23 21:00", "2026-11-24 09:00"),
        ("2026-12-31 23:59", "2027-01-01 09:00"),
        ("2024-02-29 22:00", "2024-03-01 09:00"),
    ],
)
def test_the_next_opening_is_now_within_the_window_else_the_next_morning(at: str, opening: str) -> None:
    assert calendar().next_opening(almaty(at)) == almaty(opening)


def test_deadlines_follow_the_configured_answer_days() -> None:
    assert calendar(answer_days=5).repeat_at(almaty("2026-11-23 10:00")) == almaty("2026-11-29 09:00")
    assert calendar(answer_days=0).end_at(almaty("2026-11-23 10:00")) == almaty("2026-11-24 00:10")


@pytest.mark.parametrize(
    ("at", "year", "start"),
    [
        ("2026-08-31 23:59:59", "2025/2026", "2025-09-01 00:00"),
        ("2026-09-01 00:00:00", "2026/2027", "2026-09-01 00:00"),
        ("2026-12-31 23:59:59", "2026/2027", "2026-09-01 00:00"),
        ("2027-01-01 00:00:00", "2026/2027", "2026-09-01 00:00"),
    ],
)
def test_school_year_begins_on_1_september_local(at: str, year: str, start: str) -> None:
    assert calendar().school_year(almaty(at)) == year
    assert calendar().school_year_start(almaty(at)) == almaty(start)


def test_instants_are_written_with_the_local_offset_and_milliseconds() -> None:
    at = datetime(2026, 11, 22, 5, 15, 3, 512_999, tzinfo=UTC)
    assert calendar().iso_local(at) == "2026-11-22T10:15:03.512+05:00"
    assert calendar().iso_local(datetime(2024, 2, 1, tzinfo=UTC)) == "2024-02-01T06:00:00.000+06:00"


@pytest.fixture
def stale_host(tmp_path: Path) -> Iterator[None]:
    """A host whose time zone database is old: Almaty is six hours ahead of UTC there, as Dhaka is."""
    almaty_file = tmp_path / "Asia" / "Almaty"
    almaty_file.parent.mkdir()
    almaty_file.write_bytes(resources.files("tzdata.zoneinfo.Asia").joinpath("Dhaka").read_bytes())
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[tmp_path])
    load_timezone.cache_clear()
    yield
    zoneinfo.reset_tzpath(to=before)


@pytest.mark.usefixtures("stale_host")
def test_the_time_zone_is_that_of_the_tzdata_package_and_not_of_the_host() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    assert at.astimezone(ZoneInfo.no_cache("Asia/Almaty")).hour == 6
    assert at.astimezone(load_timezone("Asia/Almaty")).hour == 5
    assert str(load_timezone("Asia/Almaty")) == "Asia/Almaty"


@pytest.mark.parametrize("key", ["", "Asia", "Asia/Nowhere", "__init__.py", "../tzdata/zones", "Asia/\0"])
def test_an_unknown_time_zone_is_rejected(key: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        load_timezone(key)


def test_a_send_window_is_parsed_as_two_local_times() -> None:
    assert parse_send_window("09:00-21:00") == (timedelta(hours=9), timedelta(hours=21))
    assert parse_send_window("00:00-24:00") == (timedelta(), timedelta(days=1))
    assert parse_send_window("08:30-20:15") == (timedelta(hours=8.5), timedelta(hours=20.25))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "09:00",
        "9:00-21:00",
        "٠9:00-21:00",
        "09:00–21:00",
        "09:00-21:00 ",
        "09:00-21:00\n",
        "09:00-21:60",
        "09:00-25:00",
        "09:00-24:01",
        "21:00-09:00",
        "09:00-09:00",
        "24:00-24:00",
    ],
)
def test_a_send_window_that_is_invalid_or_crosses_midnight_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|24:00|before it opens"):
        parse_send_window(text)


INSTANTS = st.datetimes(datetime(2023, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
AROUND_THE_LONG_DAY = st.datetimes(
    datetime(2024, 2, 24),  # noqa: DTZ001
    datetime(2024, 3, 3),  # noqa: DTZ001
    timezones=st.just(UTC),
)
ACCEPTED = INSTANTS | AROUND_THE_LONG_DAY
ZONES = st.sampled_from(["Asia/Almaty", "Asia/Qyzylorda", "Europe/Berlin", "America/New_York", "UTC"])


@st.composite
def windows(draw: st.DrawFn) -> str:
    opens = draw(st.integers(0, 24 * 60 - 1))
    closes = draw(st.integers(opens + 1, 24 * 60))
    return f"{opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02}"


@given(ACCEPTED, windows(), st.integers(0, 30))
def test_a_repeat_is_due_at_the_first_instant_of_the_window_on_its_day(
    at: datetime, window: str, days: int
) -> None:
    rules = calendar(window, answer_days=days)
    repeat_at = rules.repeat_at(at)
    assert rules.local_date(repeat_at) == rules.local_date(at) + timedelta(days=days + 1)
    assert rules.in_window(repeat_at)
    if not window.startswith("00:00"):  # else the window of the day before may end here
        assert not rules.in_window(repeat_at - timedelta(microseconds=1))
    assert repeat_at.tzinfo is UTC


@given(ACCEPTED, st.integers(0, 30))
def test_the_end_is_the_first_instant_of_its_day_plus_the_grace(at: datetime, days: int) -> None:
    rules = calendar(answer_days=days)
    midnight = rules.end_at(at) - rules.grace
    assert rules.local_date(midnight) == rules.local_date(at) + timedelta(days=days + 1)
    assert rules.local_date(midnight - timedelta(microseconds=1)) == rules.local_date(at) + timedelta(days=days)


@given(ACCEPTED, windows(), ZONES)
def test_the_next_opening_is_within_the_window_and_never_in_the_past(at: datetime, window: str, zone: str) -> None:
    rules = calendar(window, timezone=load_timezone(zone))
    opening = rules.next_opening(at)
    if rules.in_window(at):
        assert opening is at
    else:
        assert opening > at
        assert opening - at <= timedelta(hours=25)
        assert not rules.in_window(opening - timedelta(microseconds=1))
        assert not rules.in_window(at + (opening - at) / 2)


@given(ACCEPTED)
def test_a_window_of_the_whole_day_is_always_open(at: datetime) -> None:
    assert calendar("00:00-24:00").in_window(at)


@given(ACCEPTED, ACCEPTED)
def test_a_later_acceptance_never_has_an_earlier_deadline(one: datetime, two: datetime) -> None:
    first, second = sorted((one, two))
    assert calendar().end_at(first) <= calendar().end_at(second)
    assert calendar().repeat_at(first) <= calendar().repeat_at(second)


@given(ACCEPTED)
def test_iso_local_is_the_same_instant(at: datetime) -> None:
    assert abs(datetime.fromisoformat(calendar().iso_local(at)) - at) < timedelta(milliseconds=1)


@given(ACCEPTED)
def test_the_school_year_contains_its_instant(at: datetime) -> None:
    start = calendar().school_year_start(at)
    assert start <= at < start + timedelta(days=367)
    assert calendar().school_year(start) == calendar().school_year(at)
