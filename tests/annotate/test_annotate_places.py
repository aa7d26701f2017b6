"""Where annotations may be written, and what is never replaced by them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import PARTS, annotate, beside, check, interrupted, rows

from aaam_pipeline.annotate.options import OnExisting
from aaam_pipeline.core.errors import UsageError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "annotations"


def make_file(out: Path) -> None:
    out.write_text("mine")


def make_folder(out: Path) -> None:
    out.mkdir()
    (out / "novel.txt").write_text("mine")


def make_web_project(out: Path) -> None:
    out.mkdir()
    (out / "manifest.json").write_text('{"name": "my web page"}')
    (out / "index.html").write_text("mine")


def make_repository(out: Path) -> None:
    (out / ".git").mkdir(parents=True)
    (out / ".git" / "HEAD").write_text("mine")


@pytest.mark.parametrize("on_existing", ["resume", "overwrite", "error"])
@pytest.mark.parametrize("make", [make_file, make_folder, make_web_project, make_repository])
def test_what_is_no_annotations_folder_is_never_replaced(
    make: Callable[[Path], None], on_existing: OnExisting, photos: Path, tiny_bundle: Path, out: Path
) -> None:
    make(out)
    before = sorted((path, path.stat().st_mtime_ns) for path in [out, *out.rglob("*")])
    with pytest.raises(UsageError, match=r"is not an annotations folder|is a file, not a folder"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing=on_existing))
    assert sorted((path, path.stat().st_mtime_ns) for path in [out, *out.rglob("*")]) == before
    assert beside(out) == []


def test_an_index_is_not_replaced_by_annotations(indexed: Path, photos: Path, tiny_bundle: Path, out: Path) -> None:
    shutil.copytree(indexed, out)
    with pytest.raises(UsageError, match="is not an annotations folder"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing="overwrite"))
    assert (out / "scores.duckdb").is_file()


def test_an_empty_folder_is_written_into(photos: Path, tiny_bundle: Path, out: Path) -> None:
    out.mkdir()
    annotate(photos, tiny_bundle, out)
    assert rows(out).num_rows == 24


def test_a_link_to_the_output_stays_a_link(photos: Path, tiny_bundle: Path, out: Path) -> None:
    behind = out.parent / "disk" / "real"
    behind.mkdir(parents=True)
    out.symlink_to(behind)
    assert interrupted(photos, tiny_bundle, out).name == "annotations.partial"
    assert beside(behind) == ["real.partial"]
    annotate(photos, tiny_bundle, out)
    assert out.is_symlink()
    assert check(behind).inputs == 24
    assert beside(out) == beside(behind) == []


def test_the_folder_one_stands_in_can_be_the_output(
    photos: Path, tiny_bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    monkeypatch.chdir(out)
    annotate(photos, tiny_bundle, Path())
    check(out)
    assert beside(out) == []


@pytest.mark.parametrize("place", ["/proc/annotations", "file/annotations", "file/deeper/annotations"])
def test_a_place_that_cannot_be_written_is_a_usage_error_of_one_line(
    place: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write to") as caught:
        annotate(photos, tiny_bundle, tmp_path / place)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_wrong_model_leaves_nothing_behind(photos: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="is not a model bundle"):
        annotate(photos, photos, out)
    assert list(out.parent.iterdir()) == []


def test_an_empty_input_leaves_nothing_behind(tiny_bundle: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UsageError, match="no images in"):
        annotate(tmp_path / "nothing", tiny_bundle, out)
    assert beside(out) == []
    assert not out.exists()


def test_what_lies_among_annotations_is_named_and_kept(
    annotated: Path, photos: Path, tiny_bundle: Path, out: Path
) -> None:
    shutil.copytree(annotated, out)
    (out / "index").mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds what annotate did not write: index, notes\.txt; move that"):
        annotate(photos, tiny_bundle, out)
    assert (out / "notes.txt").exists()
