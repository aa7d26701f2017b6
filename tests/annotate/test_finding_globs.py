"""Images named by patterns: wildcards and braces."""

import os
from pathlib import Path

import pytest
from finding import find, paths, touch

from aaam_pipeline.core.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "2023/c.jpg", "2024/d.jpg", "2024/may/e.jpg"]),
        ("**", ["a.jpg", "b.jpg", "2023/c.jpg", "2024/d.jpg", "2024/f.gif", "2024/may/e.jpg"]),
        ("*/*.jpg", ["2023/c.jpg", "2024/d.jpg"]),
        ("2024/**/*.jpg", ["d.jpg", "may/e.jpg"]),
        ("202[45]/*", ["2024/d.jpg", "2024/f.gif"]),
        ("**/may/*", ["2024/may/e.jpg"]),
        ("?.jpg", ["a.jpg", "b.jpg"]),
        ("**/*.dat", ["2023/x.dat"]),
        ("20*/**", ["2023/c.jpg", "2024/d.jpg", "2024/f.gif", "2024/may/e.jpg"]),
    ],
)
def test_a_glob_finds_files_by_pattern(
    pattern: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(
        tmp_path, "a.jpg", "b.jpg", ".h.jpg", "2023/c.jpg", "2023/x.dat", "2024/d.jpg", "2024/f.gif", "2024/may/e.jpg"
    )
    assert paths(tmp_path / pattern) == found
    monkeypatch.chdir(tmp_path)
    assert paths(pattern) == found
    assert find(pattern) == find(tmp_path / pattern)
    assert paths(pattern, recursive=False) == found


def test_the_root_of_a_glob_ends_before_its_first_wildcard(tmp_path: Path) -> None:
    touch(tmp_path, "photos/2024/a.jpg")
    assert find(tmp_path / "photos/*/a.jpg")[0].root == str(tmp_path / "photos")
    assert find(tmp_path / "ph?tos/2024/*")[0][1:3] == (str(tmp_path), "photos/2024/a.jpg")


def test_a_glob_enters_only_folders_that_can_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/x/1.jpg", "a/y/2.jpg", "b/x/3.jpg", "a/x/deep/4.jpg")
    entered = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: entered.append(folder) or real(folder))
    assert paths(tmp_path / "[a]/x/*") == ["a/x/1.jpg"]
    assert entered == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/x")]


def test_a_glob_and_a_folder_take_an_image_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.gif", "c/d.jpg")
    assert paths(tmp_path / "*.jpg", tmp_path) == ["a.jpg", "b.gif", "c/d.jpg"]
    assert paths(tmp_path, tmp_path / "**/*.jpg", tmp_path / "a.jpg") == ["a.jpg", "b.gif", "c/d.jpg"]


def test_braces_name_several_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.jpg", "two/b.jpg", "three/c.jpg", "008.jpg", "009.jpg", "010.jpg")
    assert paths(tmp_path / "{one,three}") == ["a.jpg", "c.jpg"]
    assert paths(tmp_path / "{008..010}.jpg") == ["008.jpg", "009.jpg", "010.jpg"]
    with pytest.raises(UsageError, match=r"no file or folder .*011\.jpg"):
        find(tmp_path / "{010..011}.jpg")


@pytest.mark.parametrize("pattern", ["*.jpg", "gone/*.jpg", "{a,b}.jpg"])
def test_a_pattern_without_matches_is_a_usage_error(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no "):
        find(tmp_path / pattern)
