"""Annotations with other labels: as if they had been annotated so, with no photograph opened, and back again."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LABELS, Invoke, make_photo
from curation.other_heads import with_other_head

from aaam_pipeline.annotate import inputs, runner, verify
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.curation.relabel import relabel, undo
from aaam_pipeline.formats.assignment import WITHHELD, Assignment
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.parts import read_annotations_manifest
from aaam_pipeline.index.build import build

QUIET = NullReporter()
OPTIONS = Options(part_size=10, backend="torch", num_workers=0)


class Stops(NullReporter):
    """Presses Ctrl-C when the first image is annotated."""

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        def advance(count: int, failed: int = 0) -> None:
            if title == "annotate":
                raise KeyboardInterrupt

        yield advance


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "annotations"))


def rows(folder: Path) -> pa.Table:
    found = pa.concat_tables([pq.read_table(part) for part in sorted(folder.glob("part-*.parquet"))])
    return found.sort_by("path").combine_chunks()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("rule", [Assignment(threshold=0.3), Assignment(top=2), Assignment(1, 0.4)])
def test_rows_are_those_that_annotate_makes(
    rule: Assignment, copy: Path, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    changes = relabel(copy, rule, QUIET)
    fresh = tmp_path / "fresh"
    options = OPTIONS._replace(assignment=rule)
    made = runner.annotate(inputs.find([photos]), tiny_bundle, fresh, options, QUIET)
    now = verify.verify(copy, QUIET)
    assert (now.settings, now.settings_hash) == (made.settings, made.settings_hash)
    assert now.inputs_hash == made.inputs_hash
    for name in ("path", "labels", "scores", "model_id"):
        if name == "scores":
            np.testing.assert_allclose(to_matrix(rows(copy)[name]), to_matrix(rows(fresh)[name]), atol=0.002)
        else:
            assert rows(copy)[name].equals(rows(fresh)[name]), name
    assert changes.photographs == 24
    assert changes.changed > 0


def test_no_photograph_is_needed(tiny_bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    runner.annotate(inputs.find([tmp_path / "photos"]), tiny_bundle, tmp_path / "annotations", OPTIONS, QUIET)
    shutil.rmtree(tmp_path / "photos")
    assert relabel(tmp_path / "annotations", Assignment(top=1), QUIET).photographs == 3
    assert [len(each) for each in rows(tmp_path / "annotations")["labels"]] == [1, 1, 1]


def test_changes_are_counted_by_label(copy: Path) -> None:
    before = rows(copy)["labels"].to_pylist()
    changes = relabel(copy, Assignment(threshold=0.7), QUIET)
    after = rows(copy)["labels"].to_pylist()
    for number, label in enumerate(changes.labels):
        assert changes.before_L[number] == sum(label in each for each in before)
        assert changes.after_L[number] == sum(label in each for each in after)
        assert changes.lost_L[number] == sum(
            label in one and label not in other for one, other in zip(before, after, strict=True)
        )
    assert changes.changed == sum(set(one) != set(other) for one, other in zip(before, after, strict=True))
    assert not changes.gained_L.any()


def test_a_dry_run_counts_the_same_and_writes_nothing(copy: Path) -> None:
    before = contents(copy)
    expected = relabel(copy, Assignment(top=1), QUIET, dry_run=True)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["annotations"]
    found = relabel(copy, Assignment(top=1), QUIET)
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_a_withheld_word_is_given_to_none(copy: Path) -> None:
    assert any("dog" in each for each in rows(copy)["labels"].to_pylist())
    own = tuple(WITHHELD if label == "dog" else 0.5 for label in LABELS)
    relabel(copy, Assignment(thresholds=own), QUIET)
    assert not any("dog" in each for each in rows(copy)["labels"].to_pylist())
    assert verify.verify(copy, QUIET).thresholds == list(own)


def test_failed_rows_stay(partly_failed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(partly_failed, tmp_path / "annotations"))
    before = rows(copy)
    changes = relabel(copy, Assignment(threshold=0.5), QUIET)
    after = rows(copy)
    assert verify.verify(copy, QUIET).successes == changes.photographs == 6
    kept = [name for name in before.column_names if name not in ("labels", "label_scores")]
    assert after.select(kept).equals(before.select(kept))
    assert after["labels"].null_count == 6


def test_another_head_gives_what_it_annotates(copy: Path, photos: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    from aaam_pipeline.cli.relabel import other_head

    bundle = with_other_head(tiny_bundle, tmp_path / "other", ["sky", "sea", *LABELS[:2]])
    head = other_head(bundle, read_annotations_manifest(copy), copy)
    changes = relabel(copy, Assignment(), QUIET, head)
    made = runner.annotate(inputs.find([photos]), bundle, tmp_path / "fresh", OPTIONS, QUIET)
    now = verify.verify(copy, QUIET)
    same = ("model_id", "vocabulary", "vocabulary_hash", "thresholds", "calibration", "settings_hash", "inputs_hash")
    assert all(getattr(now, name) == getattr(made, name) for name in same)
    mine, fresh = rows(copy), rows(tmp_path / "fresh")
    np.testing.assert_allclose(to_matrix(mine["scores"]), to_matrix(fresh["scores"]), atol=0.005)
    assert sum(one == other for one, other in zip(mine["labels"], fresh["labels"], strict=True)) >= 22
    assert set(changes.labels) == {"sky", "sea", *LABELS}
    # annotate goes on with it: nothing is to be done
    again = runner.annotate(inputs.find([photos]), bundle, copy, OPTIONS, QUIET)
    assert again == now


def test_annotations_of_version_2_become_current_ones_and_are_restored(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "annotations_version_2"
    copy = Path(shutil.copytree(golden, tmp_path / "annotations"))
    before = contents(copy)
    changes = relabel(copy, Assignment(top=1), QUIET)
    assert changes.photographs > 0
    assert verify.verify(copy, QUIET).schema_version == 3
    undo(copy)
    assert contents(copy) == before


def test_undo_restores_every_byte_once(copy: Path) -> None:
    before = contents(copy)
    relabel(copy, Assignment(threshold=0.9), QUIET)
    assert contents(copy) != before
    undo(copy)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["annotations"]
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(copy)


def test_undo_restores_the_last_of_two(copy: Path) -> None:
    relabel(copy, Assignment(threshold=0.9), QUIET)
    middle = contents(copy)
    relabel(copy, Assignment(threshold=0.1), QUIET)
    undo(copy)
    assert contents(copy) == middle


def test_undo_loses_no_row_that_came_since(copy: Path, photos: Path, tiny_bundle: Path) -> None:
    relabel(copy, Assignment(threshold=0.3), QUIET)
    options = OPTIONS._replace(assignment=Assignment(threshold=0.3), forget=True)
    runner.annotate(inputs.find([photos / "holiday"]), tiny_bundle, copy, options, QUIET)
    before = contents(copy)
    with pytest.raises(UsageError, match="was written since"):
        undo(copy)
    assert contents(copy) == before


def test_a_part_without_other_labels_is_the_same_file(copy: Path) -> None:
    before = {file.name: file.stat().st_ino for file in copy.glob("*part-*")}
    labelled = read_annotations_manifest(copy)
    changes = relabel(copy, Assignment(thresholds=tuple(labelled.thresholds)), QUIET)
    assert changes.changed == 0
    assert {file.name: file.stat().st_ino for file in copy.glob("*part-*")} == before


def test_an_index_is_brought_up_to_date(copy: Path, tmp_path: Path) -> None:
    build(copy, tmp_path / "index", QUIET)
    relabel(copy, Assignment(threshold=0.9), QUIET)
    made = build(copy, tmp_path / "index", QUIET)
    given = rows(copy)["labels"].to_pylist()
    assert made.label_counts == [sum(label in each for each in given) for label in LABELS]


def test_annotate_with_another_threshold_relabels(
    copy: Path, photos: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path
) -> None:
    words = ("annotate", photos, "--out", copy, "--model", tiny_bundle)
    dry = invoke(*words, "--threshold", "0.3", "--dry-run")
    assert "it is relabelled by the threshold 0.3" in dry.stderr
    assert read_annotations_manifest(copy).settings["threshold"] is None
    result = invoke(*words, "--threshold", "0.3")
    assert result.exit_code == 0, result.stderr
    assert "was labelled by the model's thresholds: it is relabelled by the threshold 0.3" in result.stderr
    assert read_annotations_manifest(copy).settings["threshold"] == 0.3
    # without an option the rule stays
    result = invoke(*words)
    assert "labels by the threshold 0.3" in result.stderr
    assert "nothing to do" in result.stderr
    back = invoke("relabel", copy, "--model", tiny_bundle)
    assert back.exit_code == 0, back.stderr
    assert read_annotations_manifest(copy).settings["threshold"] is None
    assert invoke("verify", copy).exit_code == 0


def test_annotate_keeps_thresholds_of_a_file(copy: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"dog": null, "person": 0.1}')
    assert invoke("relabel", copy, "--thresholds", "own.json").exit_code == 0
    make_photo(tmp_path / "new.jpg", seed=50)
    result = invoke("annotate", tmp_path / "new.jpg", "--out", copy, "--model", tiny_bundle)
    assert result.exit_code == 0, result.stderr
    assert "labels by thresholds of their own" in result.stderr
    assert invoke("verify", copy).exit_code == 0
    found = rows(copy)
    assert len(found) == 25
    assert not any("dog" in each for each in found["labels"].to_pylist())


def test_annotate_with_another_head_relabels(
    copy: Path, photos: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path
) -> None:
    bundle = with_other_head(tiny_bundle, tmp_path / "other", ["sky", "sea"])
    result = invoke("annotate", photos, "--out", copy, "--model", bundle)
    assert result.exit_code == 0, result.stderr
    assert "nothing to do" in result.stderr
    assert verify.verify(copy, QUIET).vocabulary == ["sky", "sea"]


def test_json_is_one_object(copy: Path, invoke: Invoke) -> None:
    result = invoke("relabel", copy, "--top", 1, "--json", "--dry-run")
    found = json.loads(result.stdout)
    assert found["photographs"] == 24
    assert found["dry_run"] is True
    assert {"label", "before", "after", "gained", "lost"} == set(found["labels"][0])


def test_an_interrupted_run_goes_on_by_the_rule_of_its_folder(
    copy: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text("label,threshold\ndog,\nperson,0.1\n")
    assert invoke("relabel", copy, "--thresholds", "own.csv").exit_code == 0
    own = read_annotations_manifest(copy)
    for name in ("a.jpg", "b.jpg"):
        make_photo(tmp_path / name, seed=ord(name[0]))
    options = OPTIONS._replace(assignment=Assignment.of(own.settings, own.thresholds))
    items = inputs.find([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    with pytest.raises(KeyboardInterrupt):
        runner.annotate(items, tiny_bundle, copy, options, Stops())
    result = invoke("annotate", "a.jpg", "b.jpg", "--out", copy, "--model", tiny_bundle)
    assert result.exit_code == 0, result.stderr
    assert "labels by thresholds of their own" in result.stderr
    assert verify.verify(copy, QUIET).inputs == 26
    assert verify.verify(copy, QUIET).thresholds == own.thresholds


def test_thresholds_of_a_file_are_not_those_of_another_head(
    copy: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "own.json").write_text('{"dog": null}')
    assert invoke("relabel", copy, "--thresholds", "own.json").exit_code == 0
    bundle = with_other_head(tiny_bundle, tmp_path / "other", ["sky", "sea"])
    make_photo(tmp_path / "new.jpg", seed=50)
    result = invoke("annotate", "new.jpg", "--out", copy, "--model", bundle)
    assert result.exit_code == 0, result.stderr
    assert "takes its own" in result.stderr
    assert verify.verify(copy, QUIET).thresholds == [0.4, 0.4]
