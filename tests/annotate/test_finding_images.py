import os
from pathlib import Path

import pytest

from aaam_pipeline.annotate import sources
from aaam_pipeline.core.errors import UsageError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def paths(*inputs: Path) -> list[str]:
    return [source.path for source in sources.find(inputs)]


def test_a_folder_is_searched_recursively_and_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.jpg", "z/10.jpg", "z/2.jpg", "m/deep/er/c.jpg", "B.jpg")
    found = sources.find([tmp_path])
    assert [source.path for source in found] == ["B.jpg", "a.jpg", "b.jpg", "m/deep/er/c.jpg", "z/10.jpg", "z/2.jpg"]
    assert {source.root for source in found} == {str(tmp_path)}
    assert all(source.file == tmp_path / source.path for source in found)


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "._a.jpg", ".trash/b.jpg", "c/.d.jpg", "c/e.jpg")
    assert paths(tmp_path) == ["a.jpg", "c/e.jpg"]


def test_the_folder_asked_for_may_itself_be_hidden(tmp_path: Path) -> None:
    assert paths(touch(tmp_path / ".photos", "a.jpg")) == ["a.jpg"]


@pytest.mark.parametrize("name", ["a.JPG", "a.Jpeg", "a.PNG", "a.tif", "a.TIFF", "a.webp", "a.bmp", "a.gif"])
def test_image_suffixes_count_in_any_case(name: str, tmp_path: Path) -> None:
    assert paths(touch(tmp_path, name, "notes.txt", "a.jpg.part", "jpg", "a.mp4")) == [name]


def test_a_file_named_itself_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "scan", "b.dat", ".hidden")
    assert paths(tmp_path / "scan", tmp_path / "b.dat", tmp_path / ".hidden") == ["scan", "b.dat", ".hidden"]
    assert sources.find([tmp_path / "scan"])[0].root == str(tmp_path)


def test_an_image_named_in_several_ways_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "p/a.jpg", "p/q/b.jpg")
    monkeypatch.chdir(tmp_path)
    named = [tmp_path / "p", tmp_path / "p" / "q", Path("p/a.jpg"), Path("p"), Path("p/q/../a.jpg"), Path("./p/../p")]
    assert [source.file for source in sources.find(named)] == [tmp_path / "p/a.jpg", tmp_path / "p/q/b.jpg"]


def test_a_root_never_holds_dots_but_keeps_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "real/a.jpg", "elsewhere/x.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sources.find([Path("../real")])[0].root == str(tmp_path / "real")
    assert sources.find([tmp_path / "link"])[0].root == str(tmp_path / "link")


@pytest.mark.parametrize("content", [(), ("notes.txt", ".a.jpg", ".git/b.jpg")])
def test_a_folder_without_images_is_a_usage_error_of_one_line(content: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, *content)
    with pytest.raises(UsageError, match=r"no images in .*\.jpg") as caught:
        sources.find([tmp_path])
    assert "\n" not in str(caught.value)


def test_a_missing_input_is_a_usage_error_even_beside_good_ones(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=r"no file or folder .*gone"):
        sources.find([tmp_path, tmp_path / "gone"])


def test_a_name_that_is_not_utf8_is_escaped_in_the_text_and_kept_for_opening(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    touch(tmp_path, name, "café.jpg")
    found = sources.find([tmp_path])
    assert sorted(source.path for source in found) == ["caf\\xe9 \\xff.jpg", "café.jpg"]
    assert all(source.file.read_bytes() == b"x" for source in found)
    assert all(source.path.encode() for source in found)


def test_a_missing_name_that_is_not_utf8_can_be_printed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        sources.find([tmp_path / os.fsdecode(b"\xff.jpg")])
    assert str(caught.value).encode().endswith(rb"\xff.jpg")


def test_the_hash_of_inputs_follows_names_sizes_times_and_order(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_000))
    found = sources.find([tmp_path])
    before = sources.inputs_hash(found)
    assert sources.inputs_hash(sources.find([tmp_path])) == before
    assert sources.inputs_hash(found[::-1]) != before
    assert sources.inputs_hash(found[:1]) != before
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_001))
    later = sources.inputs_hash(found)
    assert later != before
    (tmp_path / "a.jpg").write_bytes(b"xy")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_001))
    assert sources.inputs_hash(found) != later
    (tmp_path / "a.jpg").unlink()
    assert sources.inputs_hash(found) not in (before, later)
