"""The forms in which cameras and programs write a time; what might mean another time than it says is none."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.pictures import encoded, note, photo, with_exif
from PIL.ExifTags import Base

from aaam_pipeline.imaging.resizing import resize_square

TEXT = "2024:05:01 12:30:05"
TIME = datetime(2024, 5, 1, 12, 30, 5)
PICTURE = encoded(photo(), "JPEG")
QUICK = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
two = st.integers(0, 99)


def time_of(text: str | bytes) -> datetime | None:
    content = text if isinstance(text, bytes) else text.encode() + b"\0"
    found = resize_square(with_exif(PICTURE, note(Base.DateTimeOriginal, content)), 16).captured_at
    return found and found.time


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "2024-05-01 12:30:05",
        "2024/05/01 12:30:05",
        "2024-05-01T12:30:05.123+02:00",
        "2024:05:01 12:30:05Z",
        "  2024:05:01 12:30:05   ",
        TEXT.encode(),
        TEXT.encode() + b"\0\0\0\xff\xfe",
        TEXT.encode() + b"\xff\xff",
        "2024.05.01 12:30:05",
        "2024:5:1 12:30:5",
        "2024: 5: 1 12:30: 5",
        "2024:05:01  12:30:05",
        "2024:05:01\t12:30:05",
        "2024:05:01 12:30:05.99",
        "2024:05:01 12:30:05,99",
        "2024:05:01 12:30:05 GMT+2",
        "2024:05:01 12:30:05 PM",
        "20240501T123005Z",
    ],
)
def test_forms_that_are_read(text: str | bytes) -> None:
    assert time_of(text) == TIME


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "                   ",
        "",
        b"",
        b"\0" * 20,
        b"\xff" * 20,
        "garbage",
        "0000:01:01 00:00:00",
        "0001:01:01 00:00:00",
        "1601:01:01 00:00:00",
        "2023:02:29 00:00:00",
        "2024:13:01 00:00:00",
        "2024:00:01 00:00:00",
        "2024:01:00 00:00:00",
        "2024:01:01 25:00:00",
        "2024:01:01 24:60:00",
        "9999:12:31 24:00:00",
        "2024:01:01 12",
        # a word that might mean the afternoon
        "2024:05:01 01:30:05 kl",
        "2024:05:01 xyz 01:30:05",
        "2024:05:01 01:30:05 下午".encode("gbk"),
        "2024:05:01 下午 01:30:05".encode("gbk"),
        "2024:01:01 00:61:00",
        "2024:01:01 00:00:60",
        "2024:05:01",
        "2024:05:01   :  :  ",
        "2024:05:01 12:30:055",
        "12024:05:01 12:30:05",
        "-024:05:01 12:30:05",
        "1714566605",
        "٢٠٢٤:05:01 12:30:05",
        "x" * 5000,
        TEXT + "x" * 5000,
    ],
)
def test_what_is_no_date_is_none(text: str | bytes) -> None:
    assert time_of(text) is None


@pytest.mark.parametrize(
    ("text", "hour", "minute", "second"),
    [
        ("2024:05:01 12:30", 12, 30, 0),
        ("2024:5:1 9:03:02", 9, 3, 2),
        ("2024:05:01 00:30:05", 0, 30, 5),
        ("2024:05:01 01:30 PM", 13, 30, 0),
        ("2024:05:01 01:30:05 p.m.", 13, 30, 5),
        ("2024:05:01 1:30:05pm", 13, 30, 5),
        ("2024:05:01 01:30:05 AM", 1, 30, 5),
        ("2024:05:01 12:30:05 a. m.", 0, 30, 5),
        ("2024:05:01 12:30:05 am", 0, 30, 5),
        ("2024:05:01 13:30:05 PM", 13, 30, 5),
        ("2024:05:01 13:30:05 kl", 13, 30, 5),
        ("2024:05:01 오후 1:30:05", 13, 30, 5),
        ("2024:05:01 上午 11:30:05", 11, 30, 5),
        ("2024:05:01 01:30:05 下午", 13, 30, 5),
        ("2024-05-01T01:30:05Z", 1, 30, 5),
        ("2024:05:01 01:30:05 CEST", 1, 30, 5),
    ],
)
def test_the_half_of_the_day(text: str, hour: int, minute: int, second: int) -> None:
    assert time_of(text) == datetime(2024, 5, 1, hour, minute, second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:05:01 24:08:19", datetime(2024, 5, 2, 0, 8, 19)),
        ("2023:12:31 24:00:00", datetime(2024, 1, 1)),
        ("2024:02:28 24:59", datetime(2024, 2, 29, 0, 59)),
    ],
)
def test_hour_24_is_the_first_of_the_next_day(text: str, expected: datetime) -> None:
    assert time_of(text) == expected


@QUICK
@given(
    numbers=st.tuples(st.integers(1, 9999), *[two] * 5) | st.tuples(st.integers(1800, 2100), *[st.integers(1, 28)] * 5),
    marks=st.tuples(st.sampled_from(":-/."), st.sampled_from([" ", "  ", "T"])),
    form=st.sampled_from(["02d", "d", "2d"]),
    end=st.sampled_from(["", "\0", ".5", "Z", " ", "+05:30", "\0\xff"]),
)
def test_a_time_is_read_exactly_where_there_is_one(
    numbers: tuple[int, int, int, int, int, int], marks: tuple[str, str], form: str, end: str
) -> None:
    year, month, day, hour, minute, second = numbers
    try:
        expected = datetime(year, month, day, hour % 24 if hour == 24 else hour, minute, second)
        expected += timedelta(hour == 24)
    except (ValueError, OverflowError):
        expected = None
    date = marks[0].join([f"{year:04d}", *(format(number, form) for number in (month, day))])
    # the hour keeps its place: 'T 5' would be no form of a time
    time = ":".join([f"{hour:02d}", *(format(number, form) for number in (minute, second))])
    found = time_of((date + marks[1] + time + end).encode("latin-1"))
    assert found == (expected if expected and 1826 <= expected.year <= 2099 else None)


@QUICK
@given(hour=st.integers(0, 23), minute=st.integers(0, 59), blank=st.sampled_from(["", " "]))
def test_a_clock_of_twelve_hours_is_that_of_24(hour: int, minute: int, blank: str) -> None:
    word = "PM" if hour >= 12 else "AM"
    shown = f"2024:05:01 {hour % 12 or 12}:{minute:02d}{blank}{word}"
    assert time_of(shown) == datetime(2024, 5, 1, hour, minute)
