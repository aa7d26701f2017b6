"""An index that is brought up to date answers as one that is built anew, whatever happened to the images."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest
from conftest import make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.artifacts import read_json, write_checksummed
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.parts import AnnotationsManifest, part_path, stats_path
from aaam_pipeline.index import annotations as index_inputs
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify

pytestmark = pytest.mark.slow

QUERIES = ["grass", "sky|person -boat", '"traffic light" grass', "path:*1*", "boat>0.5 sky", "-grass width>15"]


def answers(index: Path, vectors_KD: np.ndarray[Any, Any]) -> list[object]:
    """All that an index says: hits of queries and of vectors, near-duplicates' counts, facts of the manifest."""
    with search.open(index) as opened:
        found: list[object] = [opened.query(query, 1000) for query in QUERIES]
        found += [opened.similar(vector_D, 1000) for vector_D in vectors_KD]
        manifest = opened.manifest
        return [*found, manifest.images, manifest.failed, manifest.label_counts, manifest.vectors.kind]


class Collection:
    """Images in parts, as annotate would leave them: the parts of images that changed are written again."""

    def __init__(self, folder: Path, seed: int, parts: int = 6, size: int = 7) -> None:
        self.folder, self.chance = folder, np.random.default_rng(seed)
        self.parts = [[self.image(part * size + row) for row in range(size)] for part in range(parts)]
        self.count = parts * size
        self.write()

    def image(self, number: int) -> dict[str, Any]:
        return {"path": f"{number:04d}.jpg", "seed": int(self.chance.integers(1 << 30))}

    def change(self, what: str) -> None:
        part = self.parts[int(self.chance.integers(len(self.parts)))]
        if what == "add":
            self.parts.append([self.image(self.count + row) for row in range(int(self.chance.integers(1, 9)))])
            self.count += len(self.parts[-1])
        elif what == "delete" and len(self.parts) > 1:
            del part[int(self.chance.integers(len(part)))]
            self.parts = [each for each in self.parts if each]
        elif what == "change":
            part[int(self.chance.integers(len(part)))]["seed"] = int(self.chance.integers(1 << 30))
        elif what == "rename":
            part[int(self.chance.integers(len(part)))]["path"] = f"moved/{self.chance.integers(10**9)}.jpg"
        elif what == "reorder":
            self.parts = [self.parts[number] for number in self.chance.permutation(len(self.parts))]
        self.write()

    def write(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        write_annotations(self.folder, *self.content([]))
        part = self.folder / "part-00000.parquet"
        for old in (part, stats_path(part)):
            old.unlink()
        # one folder a part, and its part taken over, so that equal images are equal bytes
        for number, images in enumerate(self.parts):
            one = self.folder.with_name("one")
            scores_NL, embedding_ND = self.content(images)
            facts = {name: [image[name] for image in images] for name in ("path",)}
            facts["width"] = [image["seed"] % 30 for image in images]
            write_annotations(one, scores_NL, embedding_ND, **facts)
            target = part_path(self.folder, number)
            (one / part.name).rename(target)
            stats_path(one / part.name).rename(stats_path(target))
            shutil.rmtree(one)
        self.write_manifest()

    def write_manifest(self) -> None:
        path, count = self.folder / "_manifest.json", sum(map(len, self.parts))
        manifest = read_json(path, AnnotationsManifest, "annotations")
        write_checksummed(path, msgspec.structs.replace(manifest, parts=len(self.parts), inputs=count, successes=count))

    @staticmethod
    def content(images: list[dict[str, Any]]) -> tuple[Any, Any]:
        rows = [np.random.default_rng(image["seed"]) for image in images]
        scores = [chance.choice([0.0, 0.2, 0.5, 0.9], len(LABELS)) for chance in rows]
        vectors = [chance.normal(size=DIM) for chance in rows]
        return (
            np.array(scores, np.float16).reshape(-1, len(LABELS)),
            np.array(vectors, np.float16).reshape(-1, DIM),
        )


CHANGES = st.lists(st.sampled_from(["add", "delete", "change", "rename", "reorder"]), min_size=1, max_size=4)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), rounds=st.lists(CHANGES, min_size=1, max_size=3))
def test_an_index_brought_up_to_date_answers_as_a_new_one(
    seed: int, rounds: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("incremental")
    collection = Collection(folder / "annotations", seed)
    build(folder / "annotations", folder / "index", NullReporter())
    vectors_KD = np.random.default_rng(seed).normal(size=(3, DIM))
    for changes in rounds:
        for change in changes:
            collection.change(change)
        build(folder / "annotations", folder / "index", NullReporter())
        shutil.rmtree(folder / "new", ignore_errors=True)
        build(folder / "annotations", folder / "new", NullReporter())
        assert answers(folder / "index", vectors_KD) == answers(folder / "new", vectors_KD)
        verify(folder / "index", NullReporter())


def test_only_parts_that_changed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = Collection(tmp_path / "annotations", 1)
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    read: list[str] = []
    rows, hashed = index_inputs.annotated_rows, index_inputs.file_sha256
    monkeypatch.setattr(
        index_inputs, "annotated_rows", lambda part, source: read.append(part.path) or rows(part, source)
    )
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "annotations").iterdir()}
    collection.parts[2][0]["path"] = "renamed.jpg"
    collection.write()
    for path, time_ns in times.items():
        if "00002" not in path.name:
            os.utime(path, ns=(time_ns, time_ns))
    checked: list[Path] = []
    monkeypatch.setattr(index_inputs, "file_sha256", lambda path: checked.append(path) or hashed(path))
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    assert [Path(path).name for path in read] == [path.name for path in checked] == ["part-00002.parquet"]
    with search.open(tmp_path / "index") as index:
        assert [hit.path for hit in index.query("path:renamed.jpg")] == ["renamed.jpg"]


def test_a_part_damaged_since_it_was_indexed_is_refused(tmp_path: Path) -> None:
    Collection(tmp_path / "annotations", 1)
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    path = tmp_path / "annotations" / "part-00003.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"part-00003\.parquet is damaged"):
        build(tmp_path / "annotations", tmp_path / "index", NullReporter())


def test_bits_of_annotations_flipped_at_200_places_are_never_indexed(tmp_path: Path) -> None:
    Collection(tmp_path / "annotations", 1, parts=2)
    files = sorted((tmp_path / "annotations").iterdir())
    build(tmp_path / "annotations", tmp_path / "right", NullReporter())
    right = answers(tmp_path / "right", np.ones((1, DIM)))
    sizes, refused = [file.stat().st_size for file in files], 0
    for position in np.linspace(0, sum(sizes) - 1, 200).astype(int):
        number = int(np.searchsorted(np.cumsum(sizes), position, side="right"))
        file, offset = files[number], int(position - sum(sizes[:number]))
        content = file.read_bytes()
        file.write_bytes(content[:offset] + bytes([content[offset] ^ (1 << (position % 8))]) + content[offset + 1 :])
        try:
            build(tmp_path / "annotations", tmp_path / "index", NullReporter())
            assert answers(tmp_path / "index", np.ones((1, DIM))) == right, f"{file.name}, byte {offset}"
        except IntegrityError:
            refused += 1
        file.write_bytes(content)
    # what is left is in no file that an index is built from: the seconds of the stats, for one
    assert refused > 120


def test_real_annotations_added_changed_renamed_and_deleted(tiny_bundle: Path, tmp_path: Path) -> None:
    photos, annotations = tmp_path / "photos", tmp_path / "annotations"
    for number in range(20):
        make_photo(photos / f"{number:02d}.jpg", number)
    options = runner.Options(part_size=4)

    def annotate() -> None:
        runner.annotate(inputs.find([photos]), tiny_bundle, annotations, options, NullReporter())

    annotate()
    build(annotations, tmp_path / "index", NullReporter())
    make_photo(photos / "new.jpg", 50)
    make_photo(photos / "03.jpg", 51, (60, 44))
    (photos / "07.jpg").rename(photos / "renamed.jpg")
    (photos / "11.jpg").unlink()
    (photos / "12.jpg").write_text("no image any more")
    annotate()
    build(annotations, tmp_path / "index", NullReporter())
    build(annotations, tmp_path / "new", NullReporter())
    vectors_KD = np.random.default_rng(0).normal(size=(2, manifests.read(tmp_path / "new").embedding_dim))

    def everything(folder: Path) -> list[object]:
        with search.open(folder) as index:
            found: list[object] = [index.query(text, 100) for text in ("grass", "dog|person", "path:*")]
            return [*found, *(index.similar(vector_D, 100) for vector_D in vectors_KD), index.manifest.failed]

    assert everything(tmp_path / "index") == everything(tmp_path / "new")
    with search.open(tmp_path / "index") as index:
        paths = {hit.path for hit in index.query("path:*", 100)}
    assert {"new.jpg", "renamed.jpg", "03.jpg"} <= paths
    assert not {"07.jpg", "11.jpg", "12.jpg"} & paths


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-m", "aaam_pipeline", *words], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_build_killed_at_any_moment_leaves_the_old_index(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "annotations", 2, parts=40)
    out = tmp_path / "index"
    words = ("index", str(tmp_path / "annotations"), "--out", str(out), "-q")
    vectors_KD = np.ones((1, DIM))
    build(tmp_path / "annotations", out, NullReporter())
    collection.change("add")
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "aaam_pipeline", *words[:3], str(tmp_path / "timed"), "-q"], check=True)
    whole = time.monotonic() - began
    old = answers(out, vectors_KD)
    build(tmp_path / "annotations", tmp_path / "new", NullReporter())
    new = answers(tmp_path / "new", vectors_KD)
    assert new != old
    for share in np.linspace(0.3, 1.0, 8):
        with started(*words) as process:
            time.sleep(share * whole)
            process.send_signal(signal.SIGKILL)
        found = answers(out, vectors_KD)
        assert found in (old, new)
        if found == new:
            break
    build(tmp_path / "annotations", out, NullReporter())
    assert answers(out, vectors_KD) == new
    assert not out.with_name("index.partial").exists()


def test_an_index_of_an_older_version_is_built_anew(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "annotations", 1)
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    manifest = manifests.read(tmp_path / "index")
    manifests.write(tmp_path / "index", msgspec.structs.replace(manifest, schema_version=3))
    collection.change("add")
    assert build(tmp_path / "annotations", tmp_path / "index", NullReporter()).schema_version == manifests.VERSION


def test_scores_of_copied_images_are_the_stored_bytes(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "annotations", 3)
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    collection.change("add")
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    images = [image for part in collection.parts for image in part]
    with duckdb.connect(str(tmp_path / "index" / manifests.SCORES), read_only=True) as database:
        columns = ", ".join(f"s{label}" for label in range(len(LABELS)))
        stored = database.execute(f"SELECT {columns} FROM scores ORDER BY id").fetchall()
        paths = database.execute("SELECT path FROM images ORDER BY id").fetchall()
    np.testing.assert_array_equal(np.array(stored), ranking.encode(Collection.content(images)[0]))
    assert [path for (path,) in paths] == [image["path"] for image in images]


def test_what_is_copied_and_what_is_read_does_not_matter_to_the_vectors(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "annotations", 4)
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    collection.change("reorder")
    collection.change("delete")
    build(tmp_path / "annotations", tmp_path / "index", NullReporter())
    build(tmp_path / "annotations", tmp_path / "new", NullReporter())
    assert (tmp_path / "index" / manifests.VECTORS).read_bytes() == (tmp_path / "new" / manifests.VECTORS).read_bytes()
