"""A file has one row, whichever of several overlapping folders, globs or lists it is found by."""

from pathlib import Path

import pytest
from conftest import make_photo
from runs import by_name, find_and_annotate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photographs in two folders, the one in the other."""
    for number in range(6):
        make_photo(tmp_path / "photos" / ("a/sub" if number < 3 else "a") / f"{number}.jpg", number)
    return tmp_path / "photos"


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize(
    "later", ["photos/a", "photos/a/sub", "photos/a/sub/0.jpg", "photos/*/*.jpg", "photos/list.txt"]
)
def test_a_file_that_has_a_row_keeps_it_when_it_is_found_another_way(
    later: str, folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (folder / "list.txt").write_text("a/3.jpg\na/sub/1.jpg\n")
    out = tmp_path / "out"
    find_and_annotate([str(folder)], tiny_bundle, out)
    before = files(out)
    find_and_annotate([str(tmp_path / later)], tiny_bundle, out)
    assert files(out) == before
    find_and_annotate([str(folder)], tiny_bundle, out)
    assert files(out) == before


def test_a_folder_around_one_that_has_rows_adds_the_rest(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    find_and_annotate([str(folder / "a" / "sub")], tiny_bundle, out)
    find_and_annotate([str(folder)], tiny_bundle, out)
    rows = by_name(out).select(["root", "path"]).to_pylist()
    assert len(rows) == 6
    assert {f"{row['root']}/{row['path']}" for row in rows} == {str(path) for path in folder.rglob("*.jpg")}
    before = files(out)
    for again in (folder, folder / "a" / "sub", folder / "a"):
        find_and_annotate([str(again)], tiny_bundle, out)
        assert files(out) == before


def test_an_edited_file_found_another_way_is_annotated_under_its_name(
    folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    find_and_annotate([str(folder)], tiny_bundle, out)
    make_photo(folder / "a" / "sub" / "1.jpg", 77, (60, 60))
    find_and_annotate([str(folder / "a" / "sub")], tiny_bundle, out)
    rows = {row["path"]: row for row in by_name(out).to_pylist()}
    assert len(rows) == 6
    assert rows["a/sub/1.jpg"]["width"] == 60
