"""An index of version 4, with bytes for scores, is searched as it is, and built anew by the plain command."""

import shutil
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest
from search.deciding import digest
from search.toy_index import LABELS, SCORES_NL

import aaam_pipeline.search as search
from aaam_pipeline.cli.decided import in_index
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.index.verify import verify


@pytest.fixture
def older(toy_index: Path, tmp_path: Path) -> Path:
    """The toy index as version 4 wrote it."""
    return as_version_4(toy_index, tmp_path / "index")


def as_version_4(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    with search.open(folder) as index:
        probabilities = [index.columns.codes(label) for label in range(len(LABELS))]
    codes = {f"s{label}": np.rint(255 * ranking.decode(each)) for label, each in enumerate(probabilities)}
    with duckdb.connect(str(out / manifests.SCORES)) as database:
        for name, column in codes.items():
            new = {"id": np.arange(len(column)), "code": column.astype(np.uint8)}
            database.register("new", new)
            database.execute(f"ALTER TABLE scores ALTER {name} TYPE UTINYINT USING 0")
            database.execute(f"UPDATE scores SET {name} = new.code FROM new WHERE scores.id = new.id")
            database.unregister("new")
        database.execute("DROP INDEX images_id; ALTER TABLE images RENAME captured_at TO taken")
        database.execute("ALTER TABLE images DROP phash; ALTER TABLE images DROP link_target")
        database.execute("ALTER TABLE images DROP digest; ALTER TABLE images DROP unfamiliar")
    manifests.write(out, msgspec.structs.replace(manifests.read(folder), schema_version=4))
    return out


def test_it_is_searched_and_verified(older: Path, toy_index: Path) -> None:
    with search.open(toy_index) as new, search.open(older) as old:
        for text in ("grass", "grass sky", "boat|person", "boat after:2020", "-boat path:*7.jpg"):
            now, before = (
                {hit.path: hit.score for hit in index.query(text, 20) if hit.score > 0.1} for index in (new, old)
            )
            assert len(now.keys() & before.keys()) >= 0.9 * len(now), text
            for path in now.keys() & before.keys():
                assert before[path] == pytest.approx(now[path], abs=0.005)
        added = old.select("SELECT phash, link_target, captured_at, unfamiliar, digest FROM images LIMIT 1")
        assert added == [(None, None, None, None, None)]
    assert verify(older, NullReporter()).schema_version == 4


def test_decisions_have_the_scores_that_its_model_gave(contents_index: Path, tmp_path: Path) -> None:
    ids, labels = [3, 9, 40], ["boat", "Boat", "grass", "zebra"]
    with search.open(as_version_4(contents_index, tmp_path / "index")) as old:
        found = in_index(old, [*map(digest, ids), "0" * 64], labels)
    assert found.keys() == {*map(digest, ids)}
    for id in ids:
        boat, grass = (pytest.approx(SCORES_NL[id, LABELS.index(label)], abs=0.005) for label in ("boat", "grass"))
        assert found[digest(id)] == {"boat": boat, "Boat": boat, "grass": grass}


def test_it_is_built_anew_by_the_plain_command(older: Path, toy_index: Path) -> None:
    (annotations,) = manifests.read(toy_index).annotations
    manifest = build(Path(annotations), older, NullReporter())
    assert manifest.schema_version == manifests.VERSION
    with search.open(toy_index) as new, search.open(older) as rebuilt:
        assert rebuilt.query("grass|sky", 50) == new.query("grass|sky", 50)


def test_version_5_has_only_no_unfamiliar(toy_index: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    shutil.copytree(toy_index, out)
    with duckdb.connect(str(out / manifests.SCORES)) as database:
        database.execute("DROP INDEX images_id; ALTER TABLE images DROP unfamiliar; ALTER TABLE images DROP digest")
    manifests.write(out, msgspec.structs.replace(manifests.read(toy_index), schema_version=5))
    assert verify(out, NullReporter()).schema_version == 5
    with search.open(toy_index) as new, search.open(out) as old:
        assert old.query("grass|sky", 50) == new.query("grass|sky", 50)
        assert old.query("grass unfamiliar:yes") == []
        assert len(old.query("grass -unfamiliar:yes", 50)) == 50
