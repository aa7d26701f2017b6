"""Stopping, resuming, replacing, refusing: what the second run makes of what the first one left."""

import json
import shutil
import time
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest
from conftest import make_bundle, make_photo, rewrite_json
from runs import PARTS, annotate, beside, by_name, check, interrupted, rows, states

from aaam_pipeline.annotate import backends, inputs, staging
from aaam_pipeline.annotate.options import Assignment, OnExisting
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats.parts import AnnotationsManifest, part_path, stats_path

pytestmark = pytest.mark.slow

TOP = Assignment(top=1)


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "annotations"
    annotate(photos, tiny_bundle, out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "annotations"


def with_other(model: Path, target: Path, **changes: Any) -> Path:
    """Copy a bundle: the same weights, and so the same model id, with another `bundle.json`."""
    shutil.copytree(model, target)
    rewrite_json(target / "bundle.json", **changes)
    return target


def test_an_interrupted_run_leaves_no_output_that_looks_whole(photos: Path, tiny_bundle: Path, out: Path) -> None:
    folder = interrupted(photos, tiny_bundle, out)
    assert not out.exists()
    assert not list(folder.rglob("_manifest.json"))
    assert sorted(path.name for path in folder.iterdir()) == ["plan.json", "rows", "todo.parquet"]
    assert staging.finished_parts(folder / "rows") == [0, 1]


@pytest.mark.parametrize("after", [2, 7, 15, 24])
def test_the_same_command_goes_on_and_ends_as_if_nothing_had_happened(
    after: int, photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    folder = interrupted(photos, tiny_bundle, out, after=after)
    done = states(folder / "rows")
    manifest, watched = annotate(photos, tiny_bundle, out)
    finished = (after - 1) // 6
    assert f"resuming an interrupted run: {finished * 6} of 24 images are done" in watched.text
    assert watched.made == 24 - finished * 6
    assert rows(out).equals(rows(undisturbed))
    assert manifest == AnnotationsManifest(**json.loads((undisturbed / "_manifest.json").read_text()))
    kept = {name: state for name, state in done.items() if name.startswith(("part-", "_part-"))}
    assert len(kept) == 2 * finished
    assert kept.items() <= states(out).items()
    assert beside(out) == []


def test_several_interruptions_in_a_row_lose_nothing(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    for number in range(1, 4):
        folder = interrupted(photos, tiny_bundle, out, after=7)
        assert len(staging.finished_parts(folder / "rows")) == number
    annotate(photos, tiny_bundle, out)
    assert rows(out).equals(rows(undisturbed))


def test_a_run_stopped_before_it_was_published_has_only_that_left_to_do(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Path) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(staging, "publish", stop)
        folder = interrupted(photos, tiny_bundle, out, after=99)
    done = {name: state for name, state in states(folder / "rows").items() if name.startswith(("part-", "_part-"))}
    assert len(done) == 8
    _, watched = annotate(photos, tiny_bundle, out)
    assert "24 of 24 images are done" in watched.text
    assert watched.made == 0
    assert done.items() <= states(out).items()
    assert rows(out).equals(rows(undisturbed))


def test_a_run_stopped_after_it_was_published_is_complete(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(staging.StagingDir, "discard", stop)
        folder = interrupted(photos, tiny_bundle, out, after=99)
    before = states(out)
    assert (folder / "plan.json").is_file()
    _, watched = annotate(photos, tiny_bundle, out)
    assert "nothing to do" in watched.text
    assert states(out) == before
    assert beside(out) == []


@pytest.mark.parametrize("left", ["_part-00001.json", "part-00001.parquet", "_part-00000.json"])
def test_a_part_without_its_done_mark_is_made_again(
    left: str, photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path
) -> None:
    folder = interrupted(photos, tiny_bundle, out) / "rows"
    (folder / left).unlink()
    if left.endswith(".json"):
        (folder / left[1:].replace(".json", ".parquet")).write_bytes(b"PAR1 cut off")
    annotate(photos, tiny_bundle, out)
    assert rows(out).equals(rows(undisturbed))


def test_files_half_written_by_a_killed_run_are_no_data(
    photos: Path, tiny_bundle: Path, out: Path, undisturbed: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "strange" / "intruder.jpg", 99)
    annotate(tmp_path / "strange", tiny_bundle, tmp_path / "strange_annotations")
    intruder = tmp_path / "strange_annotations"
    folder = interrupted(photos, tiny_bundle, out) / "rows"
    # what would be read if names were not looked at: whole files of other rows under the names of temporary ones
    for number in (2, 3):
        for name in (f"part-{number:05d}.parquet", f"_part-{number:05d}.json"):
            shutil.copy(intruder / name.replace(f"{number:05d}", "00000"), folder / f".{name}.partial")
    shutil.copy(intruder / "_manifest.json", folder / "._manifest.json.partial")
    annotate(photos, tiny_bundle, out)
    assert rows(out).equals(rows(undisturbed))
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("on_existing", ["resume", "error"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model", "model toy-bce-[0-9a-f]+-[0-9a-f]+, not toy-bce-"),
        ("settings", "--top was None, not 1"),
        ("thresholds", "thresholds that the model had before"),
        ("calibration", "a calibration that the model had before"),
    ],
)
def test_other_work_is_not_mixed_and_the_refusal_says_what_differs(
    change: str,
    said: str,
    whole: bool,
    on_existing: OnExisting,
    photos: Path,
    tiny_bundle: Path,
    out: Path,
    tmp_path: Path,
) -> None:
    if whole:
        annotate(photos, tiny_bundle, out)
        said = said if on_existing == "resume" else "exists; choose another --out"
    else:
        interrupted(photos, tiny_bundle, out)
    model, options = tiny_bundle, PARTS._replace(on_existing=on_existing)
    if change == "model":
        model = make_bundle(tmp_path / "other", seed=2)
    elif change == "thresholds":
        model = with_other(tiny_bundle, tmp_path / "other", thresholds=[0.1] * 5)
    elif change == "calibration":
        model = with_other(tiny_bundle, tmp_path / "other", calibration={"slopes": [2.0] * 5, "biases": [0.0] * 5})
    else:
        options = options._replace(assignment=TOP)
    before = states(tmp_path)
    with pytest.raises(UsageError, match=said) as caught:
        annotate(photos, model, out, options)
    assert "--on-existing" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert states(tmp_path) == before
    manifest, watched = annotate(photos, model, out, options._replace(on_existing="overwrite"))
    assert "resuming" not in watched.text
    assert watched.made == 24
    assert set(rows(out)["model_id"].to_pylist()) == {manifest.model_id}
    check(out)
    assert beside(out) == []


def test_batch_size_workers_and_part_size_are_no_other_work(photos: Path, tiny_bundle: Path, out: Path) -> None:
    interrupted(photos, tiny_bundle, out)
    _, watched = annotate(photos, tiny_bundle, out, PARTS._replace(batch_size=5, num_workers=1, part_size=8))
    assert "resuming" in watched.text
    assert watched.made == 12
    assert check(out).parts == 4


def test_finished_work_is_left_alone(photos: Path, tiny_bundle: Path, out: Path) -> None:
    first, _ = annotate(photos, tiny_bundle, out)
    before = states(out)
    second, watched = annotate(photos, tiny_bundle, out, PARTS._replace(part_size=5))
    assert "nothing to do" in watched.text
    assert second == first
    assert states(out) == before


def test_finished_work_is_recognised_in_microseconds_an_image(
    tiny_bundle: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100,000 images in 3 seconds, on a slow machine 6. They are text: those are annotated quickly too."""
    (tmp_path / "bad.jpg").write_text("no image")
    for number in range(10_000):
        (tmp_path / "photos" / f"{number % 10}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / f"{number % 10}" / f"{number}.jpg").hardlink_to(tmp_path / "bad.jpg")
    options = PARTS._replace(part_size=1024, batch_size=64)
    annotate(tmp_path / "photos", tiny_bundle, out, options)
    # recognised without a model
    monkeypatch.delattr(backends, "create")
    seconds = []
    for _ in range(3):
        started = time.process_time()
        assert "nothing to do" in annotate(tmp_path / "photos", tiny_bundle, out, options)[1].text
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.6


def test_on_existing_error_stops_and_overwrite_replaces(photos: Path, tiny_bundle: Path, out: Path) -> None:
    annotate(photos, tiny_bundle, out)
    before = states(out)
    with pytest.raises(UsageError, match="exists; choose another --out"):
        annotate(photos, tiny_bundle, out, PARTS._replace(on_existing="error"))
    assert states(out) == before
    _, watched = annotate(photos, tiny_bundle, out, PARTS._replace(on_existing="overwrite"))
    assert watched.made == 24
    assert not set(states(out).values()) & set(before.values())


def test_overwriting_keeps_the_old_folder_until_the_new_one_is_whole(
    photos: Path, tiny_bundle: Path, out: Path
) -> None:
    annotate(photos, tiny_bundle, out)
    before = states(out)
    overwrite = PARTS._replace(on_existing="overwrite", assignment=TOP)
    interrupted(photos, tiny_bundle, out, overwrite)
    assert states(out) == before
    check(out)
    _, watched = annotate(photos, tiny_bundle, out, overwrite)
    assert "resuming" in watched.text
    assert {len(labels) for labels in rows(out)["labels"].to_pylist()} == {1}


def test_an_interrupted_update_is_dropped_by_overwriting(tiny_bundle: Path, out: Path, tmp_path: Path) -> None:
    for number in range(9):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    annotate(tmp_path / "photos", tiny_bundle, out)
    for number in range(10, 25):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    interrupted(tmp_path / "photos", tiny_bundle, out, after=8)
    _, watched = annotate(tmp_path / "photos", tiny_bundle, out, PARTS._replace(on_existing="overwrite"))
    assert watched.made == 24
    check(out)
    assert beside(out) == []


def test_failed_rows_of_an_interrupted_run_are_tried_again_when_asked_for(
    tiny_bundle: Path, out: Path, tmp_path: Path
) -> None:
    for number in range(24):
        make_photo(tmp_path / "photos" / f"{number:02d}.jpg", number)
    (tmp_path / "photos" / "01.jpg").write_text("bad")
    interrupted(tmp_path / "photos", tiny_bundle, out)
    # 12 are done, and one of them failed
    _, watched = annotate(tmp_path / "photos", tiny_bundle, out, PARTS._replace(retry_failed=True))
    assert watched.made == 13
    check(out)
    assert beside(out) == []


def test_a_row_lost_in_the_work_folder_is_noticed_before_anything_is_published(
    photos: Path, tiny_bundle: Path, out: Path, tmp_path: Path
) -> None:
    annotate(photos, tiny_bundle, out)
    before, expected = states(out), by_name(out)
    wider = [*inputs.find([photos]), *inputs.find([make_photo(tmp_path / "more.jpg", 99)])]
    interrupted(wider, tiny_bundle, out, after=1)
    lost = part_path(tmp_path / "annotations.partial" / "rows", 0)
    lost.unlink()
    stats_path(lost).unlink()
    with pytest.raises(IntegrityError, match="holds 19 rows for 25 inputs"):
        annotate(wider, tiny_bundle, out)
    assert states(out) == before
    annotate(wider, tiny_bundle, out, PARTS._replace(on_existing="overwrite"))
    assert by_name(out).filter(pa.compute.equal(by_name(out)["root"], str(photos))).equals(expected)
