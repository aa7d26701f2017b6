"""Trying again: how often, after which waits, and what ends it."""

import time

import pytest
from urllib3 import HTTPResponse

from aaam_pipeline.core import http
from aaam_pipeline.core.http import PermanentError, TransientError, with_retries


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    return waits


class _Work:
    """Fails with each of `errors` in turn, then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


def test_waits_double_from_the_second_failure_on(waited: list[float]) -> None:
    assert with_retries(_Work(*[TransientError("later")] * 5), attempts=6) == 7
    assert waited == [0, 1, 2, 4, 8]


def test_each_retry_is_logged_with_its_reason(waited: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with_retries(_Work(TransientError("HTTP 503 Busy"), TransientError("no connection", wait=7)))
    assert caplog.messages == [
        "HTTP 503 Busy; attempt 2 of 4 follows in 0.0 s",
        "no connection; attempt 3 of 4 follows in 7.0 s",
    ]


def test_the_last_failure_is_raised_as_it_is(waited: list[float]) -> None:
    work = _Work(*[TransientError(str(number)) for number in range(9)])
    with pytest.raises(TransientError, match="3"):
        with_retries(work)
    assert work.calls == http.ATTEMPTS
    assert len(waited) == http.ATTEMPTS - 1


def test_what_stays_is_not_tried_again(waited: list[float]) -> None:
    work = _Work(PermanentError("gone", 404))
    with pytest.raises(PermanentError):
        with_retries(work)
    assert work.calls == 1
    assert waited == []


def test_attempts_are_counted_anew_when_more_has_come(waited: list[float]) -> None:
    held = iter([0, 1, 1, 2, 2, 2])
    work = _Work(*[TransientError("broken")] * 9)
    with pytest.raises(TransientError):
        with_retries(work, attempts=3, progress=lambda: next(held))
    assert work.calls == 5
    assert waited == [0, 1, 0, 1]


def test_a_wait_that_the_server_asks_for_has_a_limit(waited: list[float]) -> None:
    with_retries(_Work(TransientError("busy", 3), TransientError("busy", 10_000)))
    assert waited == [3, http.LONGEST_WAIT]


@pytest.mark.parametrize(("said", "seconds"), [("7", 7), ("soon", 0), ("", 0), ("-1", 0), (None, 0)])
def test_retry_after_is_read(said: str | None, seconds: float) -> None:
    assert http._retry_after(HTTPResponse(headers={} if said is None else {"Retry-After": said})) == seconds


FORMS = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]


@pytest.mark.parametrize("form", FORMS)
def test_retry_after_may_be_a_date(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(**headers: str) -> float:
        return http._retry_after(HTTPResponse(headers={name.replace("_", "-"): text for name, text in headers.items()}))

    monkeypatch.setattr(http.time, "time", lambda: 1_800_000_000.0)
    then, now, past = (time.strftime(form, time.gmtime(1_800_000_000 + each)) for each in (20, -5, -3000))
    assert asked(Retry_After=then) == 20
    assert asked(Retry_After=past) == 0
    # this machine's clock is an hour fast
    monkeypatch.setattr(http.time, "time", lambda: 1_800_003_600.0)
    assert asked(Retry_After=then, Date=now) == 25
    assert asked(Retry_After="30", Date=now) == 30


@pytest.mark.parametrize("said", ["Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 99 Dec", "1.5", "9" * 400, "١٢٠", "-" * 99])
def test_what_is_no_date_is_no_wait_without_end(said: str) -> None:
    assert http._retry_after(HTTPResponse(headers={"Retry-After": said})) in (0, float("inf"))
