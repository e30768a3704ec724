"""One shift for every date of a patient: days stay between dates, distances between times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.deidentify import Pseudonyms, Shift
from hoimg.deidentify.dates import DAY_US

SHIFT = Shift(days=-400, clock_us=DAY_US - 3_600_000_000 - 250_000)  # an hour and 0.25 s back
DAYS = st.dates(dt.date(1950, 1, 1), dt.date(2100, 1, 1))
SHIFTS = st.text(min_size=1).map(lambda who: Pseudonyms(b"0123456789abcdef").shift(who))


def day_of(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%Y%m%d").date()


@settings(deadline=None)
@given(DAYS, DAYS, SHIFTS)
def test_days_between_dates_stay_and_no_date_does(first, second, shift):
    moved = [day_of(shift.date(day.strftime("%Y%m%d"))) for day in (first, second)]
    assert moved[1] - moved[0] == second - first
    assert 365 <= (first - moved[0]).days <= 3650


@settings(deadline=None)
@given(st.integers(0, DAY_US - 1), st.integers(0, DAY_US - 1), SHIFTS)
def test_distance_of_two_times_stays_modulo_a_day(first, second, shift):
    def micro(text: str) -> int:
        hour, minute, rest = int(text[:2]), int(text[2:4]), text[4:].replace(".", "")
        return (hour * 60 + minute) * 60_000_000 + int(rest)

    def written(value: int) -> str:
        moment = dt.datetime(2000, 1, 1) + dt.timedelta(microseconds=value)
        return moment.strftime("%H%M%S.%f")

    if 0 in (first, second):  # midnight stands for unknown
        return
    a, b = (micro(shift.time(written(t))) for t in (first, second))
    assert (b - a) % DAY_US == (second - first) % DAY_US
    assert a != first


@settings(deadline=None)
@given(DAYS, st.times(), SHIFTS)
def test_a_datetime_moves_like_its_date_and_its_time(day, time, shift):
    date, clock = day.strftime("%Y%m%d"), time.strftime("%H%M%S.%f")
    assert shift.datetime(date + clock + "+0200") in (
        shift.date(date) + shift.time(clock),
        shift.date(date) + "000000",  # midnight, without its fraction
    )


@pytest.mark.parametrize(
    ("given_", "moved"),
    [
        ("20240315", "20230209"),
        ("2024.03.15", "20230209"),  # the old form
        ("20240229 ", "20230125"),
        ("20230229", ""),  # no such day
        ("19491231", ""),
        ("19500101", "19481127"),
        ("19000101", "19000101"),  # unknown
        ("00010101", "00010101"),
        ("yesterday", ""),
        ("20240101-20240201", ""),
        ("", ""),
    ],
)
def test_dates_by_hand(given_, moved):
    assert SHIFT.date(given_) == moved


@pytest.mark.parametrize(
    ("given_", "moved"),
    [
        ("101533", "091532"),  # 10:15:33 less 1:00:00.25, cut to its own precision
        ("101533.5", "091533.2"),
        ("101533.500000", "091533.250000"),
        ("10:15:33", "091532"),
        ("1015", "0914"),
        ("10", "08"),
        ("003000", "232959"),
        ("000000", "000000"),
        ("000000.000", "000000"),
        ("250000", ""),
        ("Smith", ""),
    ],
)
def test_times_by_hand(given_, moved):
    assert SHIFT.time(given_) == moved


@pytest.mark.parametrize(
    ("given_", "moved"),
    [
        ("20240315101533.500000+0100", "20230209091533.250000"),
        ("20240315", "20230209"),
        ("202403", "202301"),
        ("2024", "2022"),
        ("20240332101533", ""),
        ("20240315991533", ""),
        ("20240315101533 Smith", ""),
    ],
)
def test_datetimes_by_hand(given_, moved):
    assert SHIFT.datetime(given_) == moved
