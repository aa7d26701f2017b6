"""`verify` of an index: what is sound is found sound, and what the hashes cannot tell is found out, too."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import faiss
import msgspec
import pytest
from conftest import rewrite_json

from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.annotations import changed_since
from aaam_pipeline.index.build import build
from aaam_pipeline.index.manifest import is_index
from aaam_pipeline.index.verify import verify


@pytest.fixture
def copied(indexed: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexed, tmp_path / "index")
    return tmp_path / "index"


def test_a_fresh_index_is_sound(copied: Path) -> None:
    assert is_index(copied)
    assert verify(copied, NullReporter()) == manifests.read(copied)


def test_annotations_are_no_index(annotated: Path) -> None:
    assert not is_index(annotated)
    with pytest.raises(UsageError, match="holds annotations, not an index"):
        verify(annotated, NullReporter())


def test_a_flipped_bit_in_either_file_is_found(copied: Path) -> None:
    for name in (manifests.SCORES, manifests.VECTORS):
        content = bytearray((copied / name).read_bytes())
        content[-3] ^= 1
        (copied / name).write_bytes(content)
        with pytest.raises(IntegrityError, match=f"{name} was changed"):
            verify(copied, NullReporter())
        content[-3] ^= 1
        (copied / name).write_bytes(content)


def change(statement: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with duckdb.connect(str(folder / manifests.SCORES)) as database:
            database.execute(statement)

    return run


def exchange_vectors(folder: Path) -> None:
    """Make the first vector twice as long: it is then nearer to its neighbours than they are to themselves."""
    vectors = faiss.read_index(str(folder / manifests.VECTORS))
    rows = vectors.reconstruct_n(0, vectors.ntotal)
    rows[0] = 9 * rows.sum(0)
    vectors.reset()
    vectors.add(rows)
    faiss.write_index(vectors, str(folder / manifests.VECTORS))


WRONG = {
    "lost image": (change("DELETE FROM images WHERE id = 3"), "images.id"),
    "scores twice": (change("INSERT INTO scores SELECT * FROM scores WHERE id = 3"), "scores.id"),
    "path ranks": (change("UPDATE scores SET place = 0"), "scores.place"),
    "labels": (change("UPDATE images SET labels = []"), "not counted"),
    "no table": (change("DROP TABLE scores"), "scores"),
    "vectors": (exchange_vectors, "nearest to itself"),
}


@pytest.mark.parametrize(("damage", "found"), WRONG.values(), ids=WRONG)
def test_contents_that_are_wrong_under_true_hashes_are_found(
    damage: Callable[[Path], None], found: str, copied: Path
) -> None:
    damage(copied)
    manifest = msgspec.json.decode((copied / "manifest.json").read_bytes(), type=manifests.IndexManifest)
    manifests.write(copied, manifest)
    with pytest.raises(IntegrityError, match=found):
        verify(copied, NullReporter())


def test_annotations_that_another_model_has_written_since_are_no_damage(annotated: Path, tmp_path: Path) -> None:
    shutil.copytree(annotated, tmp_path / "annotations")
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    index, annotations = tmp_path / "index", tmp_path / "annotations"
    assert changed_since(index, verify(index, NullReporter())) == []
    rewrite_json(annotations / "_manifest.json", model_id="another")
    assert changed_since(index, verify(index, NullReporter())) == [annotations]
    # an index holds all it needs
    shutil.rmtree(annotations)
    assert changed_since(index, verify(index, NullReporter())) == []


def test_a_second_build_into_one_folder_is_refused_and_told_who_is_there(annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    with exclusive(out), pytest.raises(UsageError, match=r"being written by another process .process [0-9]+"):
        build(annotated, out, NullReporter())
    build(annotated, out, NullReporter())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]
