"""A folder kept annotated: what is new, changed or gone since the last run, and nothing else, is done."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import make_photo
from runs import PARTS, annotate, beside, by_name, check, interrupted, note_decoded, rows, same_as_from_scratch, states

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.progress import NullReporter

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 20 photographs, of which 03 and 13 cannot be read."""
    for number in range(20):
        make_photo(tmp_path / "photos" / f"{number:02d}.jpg", number)
    for number in (3, 13):
        (tmp_path / "photos" / f"{number:02d}.jpg").write_text(f"no image {number}")
    return tmp_path / "photos"


@pytest.fixture
def out(folder: Path, tiny_bundle: Path) -> Path:
    """Annotations of `folder`."""
    out = folder.with_name("annotations")
    annotate(folder, tiny_bundle, out)
    return out


@pytest.fixture
def decoded(out: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded after `out` was made, in order."""
    return note_decoded(monkeypatch)


def keep_size(photo: Path, seed: int) -> None:
    """Write another picture of the same number of bytes."""
    size = photo.stat().st_size
    content = make_photo(photo.with_name("other.jpg"), seed, size=(24, 20)).read_bytes()
    photo.with_name("other.jpg").unlink()
    # decoders do not mind what follows the picture
    photo.write_bytes(content + b"\0" * (size - len(content)))
    assert photo.stat().st_size == size


def list_of(folder: Path, *names: str) -> Path:
    file = folder.with_name("list.txt")
    file.write_text("".join(f"{folder / name}\n" for name in names))
    return file


def test_new_images_alone_are_annotated(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    make_photo(folder / "00a.jpg", 50)
    make_photo(folder / "deeper" / "a.jpg", 51)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "22 images: 2 new, 20 kept" in watched.text
    assert sorted(decoded) == ["00a.jpg", "deeper/a.jpg"]
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_changed_images_are_annotated_again(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    make_photo(folder / "05.jpg", 50, size=(90, 70))
    keep_size(folder / "07.jpg", 51)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "2 changed, 18 kept" in watched.text
    assert decoded == ["05.jpg", "07.jpg"]
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_touched_images_keep_their_rows_with_the_new_time(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]
) -> None:
    before = by_name(out)
    for name in ("01.jpg", "09.jpg"):
        os.utime(folder / name, (5, 5))
    annotate(folder, tiny_bundle, out)
    assert decoded == []
    after = by_name(out)
    changed = [now["path"] for was, now in zip(before.to_pylist(), after.to_pylist(), strict=True) if was != now]
    assert changed == ["01.jpg", "09.jpg"]
    assert after.drop_columns("mtime").equals(before.drop_columns("mtime"))
    assert same_as_from_scratch([folder], tiny_bundle, out)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text


def test_rows_of_deleted_images_go(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    for name in ("00.jpg", "03.jpg", "19.jpg"):
        (folder / name).unlink()
    manifest, watched = annotate(folder, tiny_bundle, out)
    assert "17 kept, 3 deleted" in watched.text
    assert decoded == []
    assert manifest.failures == {"not_an_image": 1}
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_a_failed_image_that_was_repaired_is_annotated(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]
) -> None:
    make_photo(folder / "03.jpg", 3)
    annotate(folder, tiny_bundle, out)
    assert decoded == ["03.jpg"]
    assert check(out).failures == {"not_an_image": 1}
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_failed_rows_alone_are_tried_again_when_asked_for(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]
) -> None:
    parts = states(out)
    _, watched = annotate(folder, tiny_bundle, out)
    assert "nothing to do" in watched.text
    _, watched = annotate(folder, tiny_bundle, out, PARTS._replace(retry_failed=True))
    assert "2 retried, 18 kept" in watched.text
    assert decoded == ["03.jpg", "13.jpg"]
    # they failed as before
    assert states(out) == parts
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_an_interrupted_update_is_resumed(folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]) -> None:
    before = states(out)
    for number in range(30, 45):
        make_photo(folder / f"{number}.jpg", number)
    interrupted(folder, tiny_bundle, out, after=8)
    assert states(out) == before
    _, watched = annotate(folder, tiny_bundle, out)
    assert "resuming an interrupted run: 26 of 35" in watched.text
    assert len(set(decoded)) == 15
    assert watched.made == 9
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_inputs_may_change_while_an_update_is_interrupted(
    folder: Path, tiny_bundle: Path, out: Path, decoded: list[str]
) -> None:
    for number in range(30, 45):
        make_photo(folder / f"{number}.jpg", number)
    interrupted(folder, tiny_bundle, out, after=8)
    make_photo(folder / "01.jpg", 60, size=(70, 30))
    make_photo(folder / "31.jpg", 61, size=(70, 30))
    (folder / "02.jpg").unlink()
    (folder / "44.jpg").unlink()
    _, watched = annotate(folder, tiny_bundle, out)
    assert "33 images: 8 new, 2 changed, 23 kept, 1 deleted" in watched.text
    assert watched.made == 10
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_an_interrupted_first_run_serves_other_inputs_too(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "first"
    interrupted(folder, tiny_bundle, out, after=13)
    (folder / "00.jpg").unlink()
    make_photo(folder / "20.jpg", 20)
    _, watched = annotate(folder, tiny_bundle, out)
    assert watched.made == 20 - 11
    assert same_as_from_scratch([folder], tiny_bundle, out)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_of_a_folder_that_was_not_named_again_are_not_dropped_unasked(
    whole: bool, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other", tmp_path / "both"
    make_photo(other / "a.jpg", 70)
    both = [*inputs.find([other, folder])]
    (annotate if whole else interrupted)(both, tiny_bundle, out)
    _, watched = annotate(folder, tiny_bundle, out)
    assert watched.made == (0 if whole else 9)
    assert "1 not among the inputs" in watched.text
    assert check(out).roots == [str(folder), str(other)] if not whole else [str(other), str(folder)]
    _, watched = annotate(folder, tiny_bundle, out, PARTS._replace(forget=True))
    assert "20 kept, 1 forgotten" in watched.text
    assert watched.made == 0
    assert same_as_from_scratch([folder], tiny_bundle, out)


def test_a_list_may_name_an_image_more_often_or_less_often(
    folder: Path, tiny_bundle: Path, tmp_path: Path, decoded: list[str]
) -> None:
    out, once = tmp_path / "listed", ["01.jpg", "02.jpg", "03.jpg"]
    for names, todo in ([*once, *once, "01.jpg"], 7), ([*once, "01.jpg"], 0), ([*once, *once, *once], 0), (once, 0):
        _, watched = annotate(list_of(folder, *names), tiny_bundle, out)
        # what is named once more takes the row that is there
        assert watched.made == todo
        assert sorted(rows(out)["path"].to_pylist()) == sorted(f"photos/{name}" for name in names)
        assert check(out).repeated == len(names) - 3
    assert beside(out) == []


def test_parts_that_do_not_change_are_linked_and_not_copied(folder: Path, tiny_bundle: Path, out: Path) -> None:
    before = states(out)
    (folder / "00.jpg").unlink()
    annotate(folder, tiny_bundle, out)
    after = states(out)
    # parts of 6, 6, 6 and 2 rows: the first lost a row, the last is small
    for was, now in (("part-00001", "part-00000"), ("part-00002", "part-00001")):
        for name in ("{}.parquet", "_{}.json"):
            assert before[name.format(was)] == after[name.format(now)]
    assert sorted(pq.read_metadata(part).num_rows for part in out.glob("*.parquet")) == [1, 6, 6, 6]


def test_many_small_updates_do_not_end_in_many_parts(folder: Path, tiny_bundle: Path, out: Path) -> None:
    for night in range(20):
        make_photo(folder / f"night{night}.jpg", 100 + night)
        annotate(folder, tiny_bundle, out)
    sizes = [pq.read_metadata(part).num_rows for part in out.glob("*.parquet")]
    assert sum(sizes) == 40
    assert len(sizes) <= 2 * 40 / PARTS.part_size
    assert same_as_from_scratch([folder], tiny_bundle, out)


@pytest.mark.parametrize("part_size", [1, 4, 1000])
def test_the_size_of_parts_may_change_between_updates(
    part_size: int, folder: Path, tiny_bundle: Path, out: Path
) -> None:
    make_photo(folder / "20.jpg", 20)
    (folder / "07.jpg").unlink()
    annotate(folder, tiny_bundle, out, PARTS._replace(part_size=part_size))
    assert same_as_from_scratch([folder], tiny_bundle, out)


@pytest.mark.parametrize("options", [PARTS, PARTS._replace(retry_failed=True), PARTS._replace(on_existing="overwrite")])
@pytest.mark.parametrize("before", ["nothing", "interrupted", "whole", "interrupted update"])
def test_a_dry_run_tells_what_is_to_be_done_and_does_nothing(
    before: str, options: Options, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "there" / "annotations"
    if before == "interrupted":
        interrupted(folder, tiny_bundle, out)
    elif before != "nothing":
        annotate(folder, tiny_bundle, out)
        for number in range(30, 45):
            make_photo(folder / f"{number}.jpg", number)
        if before == "interrupted update":
            interrupted(folder, tiny_bundle, out, after=8)
    files, folders = states(tmp_path), sorted(tmp_path.rglob("*"))
    tally, held = runner.preview(inputs.find([folder]), tiny_bundle, out, options, NullReporter())
    assert (states(tmp_path), sorted(tmp_path.rglob("*"))) == (files, folders)
    _, watched = annotate(folder, tiny_bundle, out, options)
    assert held == ""
    # to go on with a run is to do what was missing of it
    assert watched.made == tally.todo or (before.startswith("interrupted") and options.on_existing == "overwrite")
