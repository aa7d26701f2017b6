"""What the pipeline makes of photographs in a project is the same in every checkout, and moves with it."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import make_photo

from aaam_pipeline import search
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify
from stages import annotate as annotate_stage
from stages import index as index_stage

ANNOTATIONS, INDEX = Path("retrieval/toy/annotations"), Path("retrieval/toy/index")


def make_project(folder: Path, bundle: Path, modified: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Run the stages `annotate` and `index` in a new project; return the files of the annotations."""
    shutil.copytree(bundle, folder / "models/toy/hard")
    splits: dict[str, list[Example]] = {}
    monkeypatch.chdir(folder)
    for split in ("train", "val", "test"):
        files = [make_photo(Path("data/raw/toy", split, f"{number}.png"), number) for number in range(3)]
        splits[split] = [Example(f"{split}{file.stem}", file, ("sky",)) for file in files]
        for file in files:
            os.utime(file, (modified, modified))
    prepare("toy", Listing(("sky",), splits), Path("data/prepared/toy"), 16, NullReporter())
    annotate_stage.main(Path("data/prepared/toy"), Path("models/toy/hard"), ANNOTATIONS)
    index_stage.main(ANNOTATIONS, INDEX)
    return {path.name: path.read_bytes() for path in ANNOTATIONS.iterdir()}


def test_outputs_are_equal_in_every_checkout_and_a_moved_one_is_searched_from_anywhere(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_project(tmp_path / "here", tiny_bundle, 1_000_000_000, monkeypatch)
    there = make_project(tmp_path / "deeper" / "there", tiny_bundle, 1_700_000_000, monkeypatch)
    assert here == there

    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "moved")
    moved = tmp_path / "moved" / INDEX
    assert verify(moved, NullReporter()).annotations == ["../annotations"]
    with search.open(moved) as opened:
        photo = tmp_path / "moved/data/raw/toy/test/1.png"
        hits = opened.similar(photo, top=5)
        assert {hit.file for hit in hits} == {photo.with_name(f"{number}.png") for number in (0, 2)}
        assert all(hit.file.is_file() for hit in hits)
    # made again, once DVC has removed it, it is what it was
    monkeypatch.chdir(tmp_path / "moved")
    shutil.rmtree(ANNOTATIONS)
    annotate_stage.main(Path("data/prepared/toy"), Path("models/toy/hard"), ANNOTATIONS)
    assert {path.name: path.read_bytes() for path in ANNOTATIONS.iterdir()} == here


def test_an_index_of_two_projects_keeps_their_photographs_apart(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        make_project(tmp_path / name, tiny_bundle, 1_000_000_000, monkeypatch)
    monkeypatch.chdir(tmp_path)
    built = build([Path(name) / ANNOTATIONS for name in ("one", "two")], Path("index"), NullReporter())
    assert (built.images, built.merged) == (6, 0)
    with search.open(tmp_path / "index") as opened:
        found = {str(hit.file.relative_to(tmp_path)) for hit in opened.query("path:*", top=10)}
    assert found == {f"{name}/data/raw/toy/test/{number}.png" for name in ("one", "two") for number in range(3)}
