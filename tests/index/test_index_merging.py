"""Rows of one file are one image of an index, whichever inputs led to it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Invoke, rewrite_json
from search.toy_index import EMBEDDING_ND, IMAGES, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify


class Row(NamedTuple):
    """A row of annotations: of the file `target`, if that is another one; as it was at an hour."""

    root: str
    path: str
    target: str | None = None
    hour: int | None = 1


def write(folder: Path, rows: Sequence[Row], first: int = 0, repeated: int = 0) -> Path:
    """Write annotations of rows, whose scores are those of the toy images from `first` on."""
    facts: dict[str, list[Any]] = {
        "root": [row.root for row in rows],
        "path": [row.path for row in rows],
        "link_target": [row.target for row in rows],
        "mtime": [row.hour and datetime(2024, 1, 1, row.hour, tzinfo=UTC) for row in rows],
    }
    chosen = slice(first, first + len(rows))
    write_annotations(folder, SCORES_NL[chosen], EMBEDDING_ND[chosen], **facts)
    rewrite_json(folder / "_manifest.json", repeated=repeated)
    return folder


def kept(index: Path) -> list[tuple[Any, ...]]:
    with search.open(index) as opened:
        return opened.select("SELECT root, path FROM images ORDER BY id")


@pytest.mark.parametrize(
    ("rows", "repeated", "stays"),
    [
        # the file itself, not the link that comes first
        ([Row("/k", "a_link.jpg", "/k/z.jpg"), Row("/k", "z.jpg")], 0, [1]),
        # of two links, the shorter
        ([Row("/k", "longer_link.jpg", "/x/z.jpg"), Row("/k", "link.jpg", "/x/z.jpg")], 0, [1]),
        # a folder that is a link
        ([Row("/k", "real/z.jpg"), Row("/k", "a/z.jpg", "/k/real/z.jpg"), Row("/k", "a/y.jpg", "/o/y.jpg")], 0, [0, 2]),
        # below a folder that is a link all are reached by one; a link in it has another name than its file
        ([Row("/l", "0.jpg", "/k/z.jpg"), Row("/l", "z.jpg", "/k/z.jpg")], 0, [1]),
        # a list that names it twice
        ([Row("/k", "z.jpg"), Row("/k", "z.jpg"), Row("/k", "y.jpg")], 1, [0, 2]),
        # overlapping roots
        ([Row("/p", "a/z.jpg"), Row("/p/a", "z.jpg"), Row("/p/ab", "z.jpg")], 0, [0, 2]),
        ([Row("/", "p/z.jpg"), Row("/p/", "z.jpg")], 0, [0]),
        # the newest state of a file, also by a link
        ([Row("/k", "z.jpg", hour=1), Row("/l", "z.jpg", "/k/z.jpg", hour=2)], 0, [1]),
        ([Row("/k", "z.jpg", hour=None), Row("/l", "z.jpg", "/k/z.jpg", hour=2)], 0, [1]),
        # behind a URL the names count
        ([Row("https://h/p", "a/z.jpg", hour=None), Row("https://h/p/a", "z.jpg", hour=None)], 0, [0]),
        # equal names below different roots are different files
        ([Row("/k", "z.jpg"), Row("/l", "z.jpg")], 0, [0, 1]),
    ],
)
def test_one_row_of_a_file_stays(rows: list[Row], repeated: int, stays: list[int], tmp_path: Path) -> None:
    manifest = build(write(tmp_path / "annotations", rows, 0, repeated), tmp_path / "index", NullReporter())
    assert kept(tmp_path / "index") == [(rows[number].root, rows[number].path) for number in stays]
    assert (manifest.images, manifest.merged, manifest.failed) == (len(stays), len(rows) - len(stays), 0)
    # the image has the row's own scores and vector
    with search.open(tmp_path / "index") as index:
        found = index.query("boat", 9)
        assert {hit.location for hit in found} <= {f"{rows[n].root.rstrip('/')}/{rows[n].path}" for n in stays}
        for id, number in enumerate(stays):
            near = dict(index.vectors.nearest(EMBEDDING_ND[number].astype(np.float32), 1))
            assert id in near
    assert sum(manifest.label_counts) == sum(SCORES_NL[number, label] >= 0.5 for number in stays for label in range(6))
    assert verify(tmp_path / "index", NullReporter()) == manifest


def test_files_in_several_annotations_are_merged_and_updates_are_as_from_scratch(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    sets: list[Path] = []
    for number in range(4):
        names = chance.choice(60, 40, replace=False)
        rows = [
            Row("/p", f"a/{name:03d}.jpg", hour=1 + int(chance.integers(3)))
            if chance.random() < 0.5
            else Row("/p/a", f"l{number}_{name:03d}.jpg", f"/p/a/{name:03d}.jpg", 1 + int(chance.integers(3)))
            for name in names
        ]
        sets.append(write(tmp_path / f"annotations{number}", sorted(rows), 40 * number))
    out = tmp_path / "index"
    for chosen in ([0], [0, 1], [0, 1, 2, 3], [2, 3], [3, 0], [3, 0]):
        folders = [sets[number] for number in chosen]
        manifest = build(folders, out, NullReporter())
        fresh = tmp_path / f"fresh{len(list(tmp_path.iterdir()))}"
        expected = build(folders, fresh, NullReporter())
        for field in ("images", "merged", "failed", "label_counts", "annotations"):
            assert getattr(manifest, field) == getattr(expected, field)
        assert manifest.images + manifest.merged == 40 * len(chosen)
        for name in (manifests.VECTORS, manifests.PARTS):
            assert (out / name).read_bytes() == (fresh / name).read_bytes()
        with search.open(out) as updated, search.open(fresh) as anew:
            for table in ("images", "scores"):
                statement = f"SELECT * FROM {table} ORDER BY id"
                assert updated.select(statement) == anew.select(statement)
            targets = updated.select("SELECT coalesce(link_target, root || '/' || path) FROM images")
            assert len(set(targets)) == len(targets) == manifest.images
    assert IMAGES >= 160


def test_the_command_counts_what_it_merged(tmp_path: Path, invoke: Invoke) -> None:
    write(tmp_path / "annotations", [Row("/k", "a.jpg", "/k/z.jpg"), Row("/k", "z.jpg")])
    done = invoke("index")
    assert done.exit_code == 0
    assert "1 image, 6 labels, 0 left out" in done.stderr
    assert "1 row is of a file that other rows stand for" in done.stderr
