"""Images of files and folders: their order, their names and facts, and what is left out."""

import os
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from finding import find, paths, touch

from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.inputs.base import valid_mtime
from aaam_pipeline.core.errors import UsageError


def test_a_folder_is_searched_recursively_and_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.jpg", "z/10.jpg", "z/2.jpg", "m/deep/er/c.jpg", "B.jpg")
    found = find(tmp_path)
    assert [source.path for source in found] == ["B.jpg", "a.jpg", "b.jpg", "m/deep/er/c.jpg", "z/10.jpg", "z/2.jpg"]
    assert {source.root for source in found} == {str(tmp_path)}
    assert all(source.location == str(tmp_path / source.path) for source in found)


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "._a.jpg", ".trash/b.jpg", "c/.d.jpg", "c/e.jpg")
    assert paths(tmp_path) == ["a.jpg", "c/e.jpg"]


def test_the_folder_asked_for_may_itself_be_hidden(tmp_path: Path) -> None:
    assert paths(touch(tmp_path / ".photos", "a.jpg")) == ["a.jpg"]


@pytest.mark.parametrize(
    "name", ["a.JPG", "a.Jpeg", "a.PNG", "a.tif", "a.TIFF", "a.webp", "a.bmp", "a.gif", "a.avif", "a.HEIC", "a.heif"]
)
def test_image_suffixes_count_in_any_case(name: str, tmp_path: Path) -> None:
    assert paths(touch(tmp_path, name, "notes.txt", "a.jpg.part", "jpg", "a.mp4")) == [name]


def test_a_file_named_itself_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "scan", "b.dat", ".hidden")
    assert paths(tmp_path / "scan", tmp_path / "b.dat", tmp_path / ".hidden") == ["scan", "b.dat", ".hidden"]
    assert find(tmp_path / "scan")[0].root == str(tmp_path)


def test_an_image_named_in_several_ways_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "p/a.jpg", "p/q/b.jpg")
    monkeypatch.chdir(tmp_path)
    named = [tmp_path / "p", tmp_path / "p" / "q", Path("p/a.jpg"), Path("p"), Path("p/q/../a.jpg"), Path("./p/../p")]
    assert [source.location for source in find(*named)] == [str(tmp_path / "p/a.jpg"), str(tmp_path / "p/q/b.jpg")]


def test_a_root_never_holds_dots_but_keeps_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "real/a.jpg", "elsewhere/x.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find(Path("../real"))[0].root == str(tmp_path / "real")
    assert find(tmp_path / "link")[0].root == str(tmp_path / "link")


@pytest.mark.parametrize("content", [(), ("notes.txt", ".a.jpg", ".git/b.jpg")])
def test_a_folder_without_images_is_a_usage_error_of_one_line(content: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, *content)
    with pytest.raises(UsageError, match=r"no images in .*\.jpg") as caught:
        find(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_input_is_a_usage_error_even_beside_good_ones(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=r"no file or folder .*gone"):
        inputs.find([tmp_path, tmp_path / "gone"])


def test_a_name_that_is_not_utf8_is_escaped_in_the_text_and_kept_for_opening(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    touch(tmp_path, name, "café.jpg")
    found = find(tmp_path)
    assert sorted(source.path for source in found) == ["caf\\xe9 \\xff.jpg", "café.jpg"]
    assert all(Path(source.location).read_bytes() == b"x" for source in found)
    assert all(source.path.encode() for source in found)


def test_a_missing_name_that_is_not_utf8_can_be_printed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        inputs.find([tmp_path / os.fsdecode(b"\xff.jpg")])
    assert str(caught.value).encode().endswith(rb"\xff.jpg")


def test_facts_of_a_file_are_its_size_and_its_time_in_microseconds(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_700_000_000_123_456_789))
    expected = InputItem(str(tmp_path / "a.jpg"), str(tmp_path), "a.jpg", 1, 1_700_000_000_123_456)
    assert find(tmp_path) == [expected]
    assert inputs.local_item(tmp_path / "a.jpg", tmp_path) == expected
    assert expected.mtime is not None


@pytest.mark.parametrize("year", [-5, 0, 1969, 2024, 9999, 40_000])
def test_a_time_that_is_no_date_is_not_known(year: int) -> None:
    microseconds = (year - 1970) * 31_556_952 * 10**6
    assert valid_mtime(microseconds) == (microseconds if 1 <= year <= 9999 else None)


def test_names_hold_what_they_hold(tmp_path: Path) -> None:
    names = ["a\nb.jpg", "a b .jpg", "#1.jpg", "[x].jpg", "{a,b}.jpg", "-.jpg", "it's.jpg"]
    touch(tmp_path, *names)
    assert sorted(paths(tmp_path)) == sorted(names)
    for name in names:
        assert paths(tmp_path / name) == [name]


def test_without_recursion_only_the_folder_itself_is_searched(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "a.jpg", "b/c.jpg", "d/e.jpg")
    assert [source.path for source in find(tmp_path, recursive=False, skipped=skipped)] == ["a.jpg"]
    assert skipped == {"folder": 2}


def test_hidden_names_are_taken_when_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg", ".b/c.jpg", "d.jpg")
    assert paths(tmp_path, hidden=True) == [".a.jpg", "d.jpg", ".b/c.jpg"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("node_modules",), ["a.gif", "a.jpg", "raw/b.jpg", "raw/deep/c.jpg", "x/raw/d.jpg"]),
        (("*.gif",), ["a.jpg", "node_modules/n.jpg", "raw/b.jpg", "raw/deep/c.jpg", "x/raw/d.jpg"]),
        (("raw/*",), ["a.gif", "a.jpg", "node_modules/n.jpg", "x/raw/d.jpg"]),
        (("./raw/",), ["a.gif", "a.jpg", "node_modules/n.jpg"]),
        (("raw",), ["a.gif", "a.jpg", "node_modules/n.jpg"]),
        (("**/raw/**",), ["a.gif", "a.jpg", "node_modules/n.jpg"]),
        (("x/raw/d.jpg", "RAW"), ["a.gif", "a.jpg", "node_modules/n.jpg", "raw/b.jpg", "raw/deep/c.jpg"]),
        (("[ab].*", "x", "node*"), ["raw/deep/c.jpg"]),
    ],
)
def test_excluded_names_are_left_out(exclude: tuple[str, ...], left: list[str], tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.gif", "node_modules/n.jpg", "raw/b.jpg", "raw/deep/c.jpg", "x/raw/d.jpg")
    assert paths(tmp_path, exclude=exclude) == left


def test_excluded_folders_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: entered.append(folder) or real(folder))
    touch(tmp_path, "a.jpg", "no/b.jpg", "yes/c.jpg")
    assert paths(tmp_path, exclude=("no",)) == ["a.jpg", "yes/c.jpg"]
    assert entered == [str(tmp_path), str(tmp_path / "yes")]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "a.jpg", ".b.jpg", ".c/d.jpg", "e.gif", "f.txt", "g.mp4", "trash/h.jpg")
    find(tmp_path, exclude=("*.gif", "trash"), skipped=skipped)
    assert skipped == {"hidden": 2, "excluded": 2, "not an image": 2}


def test_no_images_says_what_was_left_out(tmp_path: Path) -> None:
    touch(tmp_path, ".b.jpg", "f.txt")
    with pytest.raises(UsageError, match="left out: 1 hidden, 1 not an image"):
        find(tmp_path)


def test_a_limit_stops_the_search(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert paths(tmp_path, limit=2) == ["a.jpg", "b.jpg"]
    assert paths(tmp_path, limit=9) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_folder_named_like_an_image_is_entered(tmp_path: Path) -> None:
    assert paths(touch(tmp_path, "album.jpg/a.jpg")) == ["album.jpg/a.jpg"]


def test_a_folder_given_after_one_inside_it_leaves_that_one_out(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/q/b.jpg", "p/q/c.jpg", "p/r/d.jpg")
    found = find(tmp_path / "p/r/d.jpg", tmp_path / "p/q", tmp_path / "p")
    assert [source.path for source in found] == ["d.jpg", "b.jpg", "c.jpg", "a.jpg"]


def test_a_folder_does_not_stand_for_what_it_leaves_out(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "p/.q/b.jpg", "p/.c.jpg", "p/notes", "p/r/d.gif")
    named = [tmp_path / name for name in ("p", "p/.q", "p/.c.jpg", "p/notes", "p/r/d.gif")]
    assert paths(*named, exclude=("r",)) == ["a.jpg", "b.jpg", ".c.jpg", "notes", "d.gif"]
    assert paths(tmp_path / "p", tmp_path / "p/r", recursive=False) == ["a.jpg", "d.gif"]


def test_a_file_url_is_a_local_file(tmp_path: Path) -> None:
    touch(tmp_path, "a b.jpg")
    assert find((tmp_path / "a b.jpg").as_uri()) == find(tmp_path / "a b.jpg")


def test_searching_is_lazy_and_errors_in_arguments_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "z/b.jpg")
    found = inputs.find([tmp_path])
    assert next(found).path == "a.jpg"
    (tmp_path / "z/c.jpg").touch()
    assert [source.path for source in found] == ["z/b.jpg", "z/c.jpg"]
    with pytest.raises(UsageError):
        inputs.find([tmp_path, tmp_path / "gone"])


def test_listing_is_fast_and_holds_one_folder_at_a_time(tmp_path: Path) -> None:
    for folder in range(40):
        touch(tmp_path, f"{folder}/{0}.jpg")
        for number in range(500):
            os.link(tmp_path / f"{folder}/0.jpg", tmp_path / f"{folder}/IMG_{number}.jpg")
    began = time.perf_counter()
    assert sum(1 for _ in inputs.find([tmp_path])) == 40 * 501
    # 0.15 s on an idle core
    assert time.perf_counter() - began < 2
    tracemalloc.start()
    sum(1 for _ in inputs.find([tmp_path]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
