"""Where a file lies that a link leads to: of the file, of a folder, of the folder that was given."""

import os
from pathlib import Path

import pytest
from PIL import Image

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.annotate.inputs import Selection


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a picture, links to it, to its folder and to nothing, and a list that names it twice."""
    real = tmp_path / "real"
    (real / "sub").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(real / "sub" / "a.png")
    (real / "b.png").symlink_to("sub/a.png")
    (real / "chain.png").symlink_to("b.png")
    (real / "folder").symlink_to("sub")
    (real / "gone.png").symlink_to("nothing.png")
    (tmp_path / "linked root").symlink_to("real")
    (tmp_path / "list.txt").write_text("real/sub/a.png\nreal/../real/folder/a.png\nlinked root/sub/a.png\n")
    return tmp_path


def targets(*given: Path | str, **options: object) -> dict[str, str | None]:
    found = (reader.read(item, 32) for item in inputs.find(given, Selection(**options)))
    return {f"{each.item.root}/{each.item.path}": each.link_target for each in found}


def test_links_below_a_folder_have_their_file_as_target(photos: Path) -> None:
    real = photos / "real"
    target = str(real / "sub" / "a.png")
    assert targets(real) == {
        str(real / "b.png"): target,
        str(real / "chain.png"): target,
        str(real / "folder" / "a.png"): target,
        # it could not be read
        str(real / "gone.png"): None,
        str(real / "sub" / "a.png"): None,
    }
    assert targets(f"{real}/*/a.png") == {str(real / "folder/a.png"): target, str(real / "sub/a.png"): None}


def test_a_linked_root_a_list_and_a_file_alone_are_no_other_way_in(photos: Path) -> None:
    target = str(photos / "real" / "sub" / "a.png")
    assert targets(photos / "linked root", exclude=("b.png", "chain.png", "gone.png", "folder")) == {
        str(photos / "linked root" / "sub" / "a.png"): target
    }
    found = targets(photos / "list.txt")
    assert found.pop(str(photos / "real" / "sub" / "a.png")) is None
    assert set(found.values()) == {target}
    assert targets(photos / "real" / "b.png") == {str(photos / "real" / "b.png"): target}


def test_an_odd_name_is_printable_in_a_target(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff.png")
    Image.new("RGB", (8, 8)).save(odd)
    (tmp_path / "link.png").symlink_to(odd)
    assert targets(tmp_path / "link.png") == {str(tmp_path / "link.png"): rf"{tmp_path}/\xff.png"}


def test_a_file_that_is_no_link_costs_no_call_more(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("stat", "lstat"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *more, real=real, name=name, **k: (calls.append(name), real(path))[1]
        )
    item = inputs.local_item(photos / "real" / "sub" / "a.png", photos / "real")
    reader.fetch(item)
    calls.clear()
    reader.fetch(item)
    assert calls == ["lstat"]
