"""Sound annotations, however they came about, are left in peace by `verify`; what are none is said."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import make_photo
from runs import check
from tampering import rewrite

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.annotate.options import Assignment, Options
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    """24 rows without failures, in parts of 10, 10 and 4."""
    return shutil.copytree(annotated, tmp_path / "annotations")


def test_files_of_others_that_no_reader_takes_for_rows_are_no_damage(copy: Path) -> None:
    for name in ("notes.txt", ".DS_Store", ".part-00007.parquet.partial"):
        (copy / name).touch()
    check(copy)


def test_what_is_no_annotations_folder_is_a_wrong_argument(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "file", tmp_path / "empty", tmp_path / "missing", photos):
        with pytest.raises(UsageError, match=r"is not an annotations folder: (it has no _manifest\.json|nothing)"):
            check(folder)


def test_sound_annotations_are_sound(annotated: Path, partly_failed: Path) -> None:
    assert verify(annotated, NullReporter()).successes == 24
    assert verify(partly_failed, NullReporter()).inputs == 12


@pytest.mark.parametrize(
    "assignment", [Assignment(), Assignment(top=2), Assignment(threshold=0.3), Assignment(1, 0.0), Assignment(9, 1.0)]
)
def test_annotations_by_any_settings_are_sound(
    assignment: Assignment, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    annotate([photos], tiny_bundle, tmp_path / "out", assignment=assignment)
    check(tmp_path / "out")


def annotate(given: list[str | Path], model: Path, out: Path, **more: Any) -> None:
    options = Options(backend="torch", num_workers=0, max_failure_rate=1, **more)
    runner.annotate(inputs.find(given), model, out, options, NullReporter())


def test_lines_that_a_list_repeats_are_sound_and_one_less_is_not(
    photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    names = [str(photos / "001.jpg"), str(photos / "002.jpg"), str(photos / "001.jpg"), str(photos / "gone.jpg")]
    (tmp_path / "list.txt").write_text("\n".join([*names, *names]))
    annotate([tmp_path / "list.txt"], tiny_bundle, tmp_path / "out", part_size=3)
    assert verify(tmp_path / "out", NullReporter()).repeated == 5
    rewrite(lambda rows: rows.slice(1))(tmp_path / "out")
    with pytest.raises(IntegrityError, match="already: 4, the manifest says 5"):
        check(tmp_path / "out")


def test_annotations_that_were_kept_up_to_date_are_sound(tiny_bundle: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    for number in range(12):
        make_photo(folder / f"{number:02d}.jpg", number)
    annotate([folder], tiny_bundle, out, part_size=4)
    check(out)
    (folder / "01.jpg").unlink()
    make_photo(folder / "05.jpg", 100)
    make_photo(folder / "new.jpg", 101)
    (folder / "bad.jpg").write_bytes(b"bad")
    annotate([folder], tiny_bundle, out, part_size=4)
    check(out)
    annotate([folder], tiny_bundle, out, part_size=4, retry_failed=True)
    check(out)
    make_photo(tmp_path / "more" / "a.jpg", 102)
    annotate([folder, tmp_path / "more"], tiny_bundle, out, part_size=4)
    check(out)
    annotate([tmp_path / "more"], tiny_bundle, out, part_size=4, forget=True)
    assert verify(out, NullReporter()).inputs == 1


def test_nothing_but_the_annotations_is_touched(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    check(copy)
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before
    assert list((tmp_path / "here").iterdir()) == []
