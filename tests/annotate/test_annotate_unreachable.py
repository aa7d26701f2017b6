"""Inputs that are named, have the row of a picture, and cannot be read: the row stays, and the exit code says so."""

from pathlib import Path
from typing import Any

import pytest
from conftest import make_photo
from runs import PARTS, Watcher, by_name, check, find_and_annotate, states

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.errors import MissingFilesError
from aaam_pipeline.core.progress import NullReporter

FORGET = PARTS._replace(forget=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photographs."""
    for number in range(5):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


@pytest.fixture
def listed(folder: Path) -> Path:
    """A list of them."""
    listed = folder.with_name("list.txt")
    listed.write_text("".join(f"photos/{number}.jpg\n" for number in range(5)))
    return listed


def held(given: Path, model: Path, out: Path) -> str:
    with pytest.raises(MissingFilesError) as caught:
        find_and_annotate([given], model, out)
    check(out)
    return str(caught.value)


@pytest.mark.parametrize("away", [2, 5])
def test_a_list_of_files_that_are_away_keeps_their_rows(
    away: int, folder: Path, listed: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "annotations"
    find_and_annotate([listed], tiny_bundle, out)
    before, whole = by_name(out), states(out)
    for number in range(away):
        (folder / f"{number}.jpg").rename(tmp_path / f"{number}.jpg")
    for _ in range(2):
        said = held(listed, tiny_bundle, out)
        assert said.startswith(f"{away} rows stay whose pictures are not found: inputs that cannot be read: {away}")
        assert str(folder) in said
        assert "--forget" in said
        assert states(out) == whole
    scope = inputs.Scope()
    counts, _ = runner.preview(inputs.find([listed], scope=scope), tiny_bundle, out, PARTS, NullReporter(), scope)
    assert str(counts).endswith(f"{away} not found")
    for number in range(away):
        (tmp_path / f"{number}.jpg").rename(folder / f"{number}.jpg")
    find_and_annotate([listed], tiny_bundle, out)
    assert by_name(out).equals(before)


def test_other_inputs_are_annotated_all_the_same(folder: Path, listed: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "annotations"
    find_and_annotate([listed], tiny_bundle, out)
    (folder / "0.jpg").unlink()
    # one that has no row yet fails, as every input that cannot be read
    listed.write_text(listed.read_text() + "photos/new.jpg\nphotos/never.jpg\n")
    make_photo(folder / "new.jpg", 9)
    assert held(listed, tiny_bundle, out).startswith("1 row stays")
    rows = by_name(out)
    assert rows["path"].to_pylist() == [f"photos/{name}.jpg" for name in [*range(5), "never", "new"]]
    assert rows["status"].to_pylist() == ["ok"] * 5 + ["failed", "ok"]
    # until it is given up
    find_and_annotate([listed], tiny_bundle, out, FORGET)
    assert by_name(out)["status"].to_pylist() == ["failed", *["ok"] * 4, "failed", "ok"]
    find_and_annotate([listed], tiny_bundle, out)


def test_a_link_that_leads_nowhere_keeps_its_row(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out, links = tmp_path / "annotations", tmp_path / "links"
    links.mkdir()
    for photo in folder.iterdir():
        (links / photo.name).symlink_to(photo)
    find_and_annotate([links], tiny_bundle, out)
    before = states(out)
    folder.rename(tmp_path / "renamed")
    assert held(links, tiny_bundle, out).startswith("5 rows stay")
    assert states(out) == before
    (tmp_path / "renamed").rename(folder)
    find_and_annotate([links], tiny_bundle, out)


@pytest.mark.parametrize("size", ["same", "other"])
def test_a_file_that_cannot_be_read_keeps_its_row(
    size: str, folder: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "annotations"
    find_and_annotate([folder], tiny_bundle, out)
    before = states(out)
    photo = folder / "3.jpg"
    photo.write_bytes(photo.read_bytes() + b"\0" * (size == "other"))
    opened = Path.open

    def refuse(path: Path, *rest: Any, **options: Any) -> Any:
        if path == photo:
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert held(folder, tiny_bundle, out).startswith("1 row stays")
    assert states(out) == before
    watcher = Watcher()
    find_and_annotate([folder], tiny_bundle, out, report=watcher)
    assert "1 changed, 4 kept" in watcher.text if size == "other" else "5 kept" in watcher.text


def test_a_subfolder_that_lost_all_its_pictures_keeps_its_rows(tiny_bundle: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number in range(9):
        make_photo(photos / ("disk" if number < 2 else "a") / f"{number}.jpg", number)
    find_and_annotate([photos], tiny_bundle, out)
    # what a mount point can hold while nothing is mounted
    for file in (photos / "disk").iterdir():
        file.unlink()
    (photos / "disk" / "README.txt").touch()
    with pytest.raises(MissingFilesError, match=r"2 rows stay .*all pictures of .*photos/disk are gone"):
        find_and_annotate([photos], tiny_bundle, out)
    assert len(by_name(out)) == 9
    # one of several is deleted as before
    (photos / "a" / "8.jpg").unlink()
    with pytest.raises(MissingFilesError):
        find_and_annotate([photos], tiny_bundle, out)
    assert len(by_name(out)) == 8
    find_and_annotate([photos], tiny_bundle, out, FORGET)
    assert len(by_name(out)) == 6
