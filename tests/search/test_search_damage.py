"""Folders that are no index, a damaged or a newer one; and that reading an index changes nothing in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest
from search.toy_index import EMBEDDING_ND

import aaam_pipeline.search as search
from aaam_pipeline.core.artifacts import read_json, write_json
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError
from aaam_pipeline.index import manifest as manifests


@pytest.fixture
def copied(toy_index: Path, tmp_path: Path) -> Path:
    shutil.copytree(toy_index, tmp_path / "index")
    return tmp_path / "index"


def test_no_index_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an index"):
        search.open(tmp_path)


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def overwrite(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        size = (folder / name).stat().st_size
        (folder / name).write_bytes(b"\xa5" * size)

    return damage


def remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()

    return damage


def lose_images(folder: Path) -> None:
    """Take rows out of one table only, and make the manifest believe the file."""
    with duckdb.connect(str(folder / manifests.SCORES)) as database:
        database.execute("DELETE FROM images WHERE id < 400")
    trust(folder)


def lose_columns(folder: Path) -> None:
    with duckdb.connect(str(folder / manifests.SCORES)) as database:
        database.execute("ALTER TABLE scores DROP COLUMN s4")
    trust(folder)


def trust(folder: Path) -> None:
    manifests.write(folder, read_json(folder / "manifest.json", manifests.IndexManifest, "an index"))


DAMAGES = {
    f"{how.__name__} {name}": how(name)
    for how in (cut, overwrite, remove)
    for name in ("manifest.json", manifests.SCORES, manifests.VECTORS)
    if (how, name) != (remove, "manifest.json")
}


@pytest.mark.parametrize("damage", [*DAMAGES.values(), lose_images, lose_columns], ids=[*DAMAGES, "rows", "columns"])
def test_a_damaged_index_is_an_integrity_error_of_one_line(damage: Callable[[Path], None], copied: Path) -> None:
    def use() -> None:
        with search.open(copied) as index:
            index.query("boat", 400)
            index.similar(EMBEDDING_ND[0])

    use()
    damage(copied)
    with pytest.raises(IntegrityError) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_an_index_of_another_version_is_refused_and_not_called_damaged(copied: Path) -> None:
    manifest = manifests.read(copied)
    write_json(copied / "manifest.json", msgspec.structs.replace(manifest, schema_version=manifests.VERSION + 1))
    with pytest.raises(VersionError, match="by a newer version of aaam-pipe: use that"):
        search.open(copied)
    write_json(copied / "manifest.json", msgspec.structs.replace(manifest, schema_version=1))
    with pytest.raises(VersionError, match="by an older version of aaam-pipe; build the index again"):
        search.open(copied)


def test_opening_and_asking_writes_nothing(copied: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copied.iterdir()}
    with search.open(copied) as index:
        index.query("boat")
        index.similar("/photos/0003.jpg")
    assert {path.name: path.stat().st_mtime_ns for path in copied.iterdir()} == before


def answers(folder: Path) -> list[object]:
    """All that an index says to a few questions; what is not read is not asked."""
    with search.open(folder) as index:
        queries = ["grass", "sky|person -boat", '"traffic light" path:*7.jpg', "boat>0.5"]
        likenesses = [index.similar(EMBEDDING_ND[0], 20), index.similar("/photos/0003.jpg", 20)]
        return [index.manifest, *(index.query(query, 500) for query in queries), *likenesses]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", manifests.SCORES, manifests.VECTORS])
def test_bits_flipped_at_200_places_never_give_another_answer(name: str, copied: Path) -> None:
    right, content = answers(copied), (copied / name).read_bytes()
    chance = np.random.default_rng(4)
    found = 0
    # spread over the file, its first and last bytes among them
    for position in np.linspace(0, len(content) - 1, 200).astype(int):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(chance.integers(8))
        (copied / name).write_bytes(flipped)
        try:
            assert answers(copied) == right, f"byte {position}"
        except IntegrityError:
            found += 1
    # DuckDB's file has blocks that nothing is read from; every byte of the others counts
    assert found == 200 or (name == manifests.SCORES and found > 5), found


@pytest.mark.parametrize("name", ["manifest.json", manifests.SCORES, manifests.VECTORS])
def test_files_cut_off_at_200_places_are_integrity_errors(name: str, copied: Path) -> None:
    content = (copied / name).read_bytes()
    for length in np.linspace(0, len(content) - 2, 200).astype(int):
        (copied / name).write_bytes(content[:length])
        with pytest.raises(IntegrityError):
            search.open(copied)
