"""An index of annotations that were made under other names: on another machine, or before a library was moved."""

from pathlib import Path

import pytest
from search.toy_index import EMBEDDING_ND, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.roots import MovedRoot
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    count = len(SCORES_NL)
    roots = ["/photos/a", *["/photos"] * (count - 2), "/other"]
    return write_annotations(tmp_path / "annotations", SCORES_NL, EMBEDDING_ND, root=roots)


def roots(index: Path) -> set[str]:
    verify(index, NullReporter())
    with search.open(index) as opened:
        return {hit.root for hit in opened.similar(EMBEDDING_ND[0].astype("float32"), 1000)}


def test_rows_get_their_new_names_in_the_index_alone(annotations: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "index", [MovedRoot("/photos", "/Volumes/photos")]
    build(annotations, out, NullReporter())
    assert roots(out) == {"/photos", "/photos/a", "/other"}
    for _ in range(2):
        build(annotations, out, NullReporter(), moved_roots=moved)
        assert roots(out) == {"/Volumes/photos", "/Volumes/photos/a", "/other"}
    before = (out / "manifest.json").stat().st_mtime_ns
    # up to date: nothing is built
    build(annotations, out, NullReporter(), moved_roots=moved)
    assert (out / "manifest.json").stat().st_mtime_ns == before
    build(annotations, out, NullReporter())
    assert roots(out) == {"/photos", "/photos/a", "/other"}
