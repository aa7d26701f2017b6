"""What failed for a reason that may pass is tried again by the next run; the rest when it is asked for."""

from pathlib import Path
from typing import Any

import pytest
from conftest import make_photo
from runs import PARTS, annotate, by_name, check, interrupted, states

from aaam_pipeline.annotate import backends, inputs, reader
from aaam_pipeline.core.errors import FailureRateError, ImageError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """8 photographs, one that is no image, and a link to what is not there."""
    for number in range(8):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "photos" / "bad.jpg").write_text("no image")
    (tmp_path / "photos" / "link.jpg").symlink_to(tmp_path / "later.jpg")
    return tmp_path / "photos"


@pytest.fixture
def out(folder: Path, tiny_bundle: Path) -> Path:
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out)
    return out


def test_what_could_not_be_read_is_read_when_it_can_be(folder: Path, tiny_bundle: Path, out: Path) -> None:
    parts = states(out)
    before = by_name(out)
    make_photo(folder.with_name("later.jpg"), 50)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 changed, 9 kept" in watched.text
    assert check(out).failures == {"not_an_image": 1}
    assert states(out) != parts
    assert len(before) == len(by_name(out))


def test_what_cannot_be_read_still_is_left_alone_without_a_model(
    folder: Path, tiny_bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = states(out)
    monkeypatch.delattr(backends, "create")
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text
    assert states(out) == before


class Failing:
    """Lets inputs fail that a name is given for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.errors: dict[str, ImageError] = {}
        self.decoded: list[str] = []
        self._decode, self._fetch = reader.decode, reader.fetch
        patch.setattr(reader, "decode", self.decode)
        patch.setattr(reader, "fetch", self.fetch)
        patch.setattr("aaam_pipeline.annotate.failures.fetch", self.fetch)

    def decode(self, item: inputs.InputItem, *rest: Any) -> reader.ReadImage:
        self.decoded.append(item.path)
        error = self.errors.get(item.path)
        if error and error.kind != "unreadable":
            return reader.ReadImage(item, None, item.bytes, item.mtime, error)
        return self._decode(item, *rest)

    def fetch(self, item: inputs.InputItem) -> reader.Content:
        error = self.errors.get(item.path)
        if error and error.kind == "unreadable":
            raise error
        return self._fetch(item)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


@pytest.mark.parametrize("kind", ["unreadable", "timeout"])
def test_passing_failures_pass(
    kind: str, failing: Failing, folder: Path, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    whole, out = by_name(out), tmp_path / "other"
    failing.errors = {"3.jpg": ImageError(kind, "HTTP 503 Service Unavailable")}
    annotate(folder, tiny_bundle, out)
    before = states(out)
    # they fail again, in the same way
    for _ in range(2):
        _, watched = annotate(folder, tiny_bundle, out)
        assert states(out) == before
        assert check(out).failures == {kind: 1, "not_an_image": 1} | {"unreadable": 2 if kind == "unreadable" else 1}
    # and in another way
    failing.errors = {"3.jpg": ImageError(kind, "HTTP 502 Bad Gateway")}
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 retried, 9 kept" in watched.text
    assert "HTTP 502 Bad Gateway" in by_name(out)["error_message"].to_pylist()
    failing.errors, failing.decoded = {}, []
    _, watched = annotate(folder, tiny_bundle, out)
    assert "1 retried, 9 kept" in watched.text
    assert failing.decoded == ["3.jpg"]
    assert by_name(out).equals(whole)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text


@pytest.mark.parametrize("kind", ["not_an_image", "unsupported", "truncated", "too_large", "decoder_crashed"])
def test_what_failed_for_good_is_tried_again_when_asked_for(
    kind: str, failing: Failing, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "other"
    failing.errors = {"3.jpg": ImageError(kind, "x")}
    annotate(folder, tiny_bundle, out)
    failing.errors, failing.decoded = {}, []
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text
    assert failing.decoded == []
    annotate(folder, tiny_bundle, out, PARTS._replace(retry_failed=True))
    assert sorted(failing.decoded) == ["3.jpg", "bad.jpg", "link.jpg"]
    assert check(out).failures == {"not_an_image": 1, "unreadable": 1}


def test_a_run_of_retries_that_is_stopped_changes_nothing_if_they_fail_again(
    failing: Failing, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "other"
    failing.errors = {f"{number}.jpg": ImageError("timeout", "x") for number in range(8)}
    annotate(folder, tiny_bundle, out)
    before = states(out)
    interrupted(folder, tiny_bundle, out, after=7)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "resuming an interrupted run" in watched.text
    assert states(out) == before
    failing.errors.pop("5.jpg")
    annotate(folder, tiny_bundle, out)
    assert check(out).failures == {"not_an_image": 1, "timeout": 7, "unreadable": 1}


def test_the_budget_of_failures_is_that_of_all_rows(folder: Path, tiny_bundle: Path, out: Path) -> None:
    with pytest.raises(FailureRateError, match="2 of 10 images failed"):
        annotate(folder, tiny_bundle, out, PARTS._replace(max_failure_rate=0.1))
    annotate(folder, tiny_bundle, out, PARTS._replace(max_failure_rate=0.2))
