"""Files that have changed when they are compared, and cannot be read when their turn comes: earlier rows stay."""

from pathlib import Path

import pytest
from conftest import make_photo
from runs import PARTS, Watcher, by_name, check, find_and_annotate

from aaam_pipeline.annotate import reader, runner
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.reader import Content
from aaam_pipeline.core.errors import ImageError, MissingFilesError

VANISHED = ImageError("unreadable", "No such file or directory")


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Path) -> Path:
    """Five photographs that were annotated; three of them are other pictures by now."""
    for number in range(5):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    find_and_annotate([tmp_path / "photos"], tiny_bundle, tmp_path / "out")
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number + 10)
    return tmp_path / "photos"


def fail(patch: pytest.MonkeyPatch, failure: ImageError, *names: str) -> None:
    fetch = reader.fetch

    def failing(item: reader.InputItem) -> Content:
        if item.path in names:
            raise failure
        return fetch(item)

    patch.setattr(reader, "fetch", failing)


@pytest.mark.parametrize("part_size", [6, 1])
def test_the_row_of_a_picture_stays(
    part_size: int, folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder.with_name("out")
    make_photo(folder / "new.jpg", 20)
    options, watcher, before = PARTS._replace(part_size=part_size), Watcher(), by_name(out)
    fail(monkeypatch, VANISHED, "0.jpg", "1.jpg", "new.jpg")
    with pytest.raises(MissingFilesError, match=r"^2 images could not be read any more, earlier rows stay"):
        find_and_annotate([folder], tiny_bundle, out, options, watcher)
    monkeypatch.undo()
    assert "1 new, 3 changed, 2 kept" in watcher.text
    rows = by_name(out)
    assert rows["status"].to_pylist() == ["ok"] * 5 + ["failed"]
    assert [
        row.equals(was)
        for row, was in zip(map(rows.slice, range(5), [1] * 5), map(before.slice, range(5), [1] * 5), strict=True)
    ] == [True, True, False, True, True]
    assert check(out).failures == {"unreadable": 1}
    # the next run looks at them again
    watcher = Watcher()
    find_and_annotate([folder], tiny_bundle, out, options, watcher)
    assert "2 changed, 1 retried, 3 kept" in watcher.text
    assert by_name(out)["status"].to_pylist() == ["ok"] * 6


@pytest.mark.parametrize(
    ("failure", "options"),
    [(ImageError("damaged", "no picture"), PARTS), (VANISHED, PARTS._replace(forget=True))],
    ids=["fault of the file", "--forget"],
)
def test_other_failures_take_its_place(
    failure: ImageError, options: Options, folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, failure, "0.jpg")
    find_and_annotate([folder], tiny_bundle, folder.with_name("out"), options)
    assert by_name(folder.with_name("out"))["status"].to_pylist() == ["failed"] + ["ok"] * 4


def test_a_row_that_moved_with_its_picture_does_not_come_back(
    folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder.with_name("out")
    find_and_annotate([folder], tiny_bundle, out)
    (folder / "4.jpg").rename(folder / "moved.jpg")
    make_photo(folder / "4.jpg", 30)
    fail(monkeypatch, VANISHED, "4.jpg")
    find_and_annotate([folder], tiny_bundle, out)
    assert by_name(out)["status"].to_pylist() == ["ok"] * 4 + ["failed", "ok"]


def test_a_timeout_and_a_resumed_run(folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder.with_name("out")
    fail(monkeypatch, ImageError("timeout", "not read and decoded within 60 seconds"), "2.jpg")
    options = PARTS._replace(part_size=1)
    with pytest.raises(KeyboardInterrupt):
        find_and_annotate([folder], tiny_bundle, out, options, Watcher(stop_after=2))
    with pytest.raises(MissingFilesError, match=r"^1 image could not be read any more"):
        find_and_annotate([folder], tiny_bundle, out, options)
    assert by_name(out)["status"].to_pylist() == ["ok"] * 5
    assert runner.total_stats(out).successes == 5
