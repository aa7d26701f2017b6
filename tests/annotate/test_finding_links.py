"""Links, loops, pipes and folders that cannot be listed, where images are searched for."""

import os
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from finding import find, paths, touch

from aaam_pipeline.annotate import reader
from aaam_pipeline.core.errors import ImageError, UsageError


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "out/b.jpg")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "out" / "b.jpg")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "out")
    assert paths(tmp_path / "in") == ["a.jpg", "link.jpg", "more/b.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_is_a_loop_and_is_counted(target: str, tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "p/a.jpg", "p/q/b.jpg", "p/q/r/c.jpg")
    (tmp_path / "p/q/r/loop").symlink_to(target)
    assert [source.path for source in find(tmp_path / "p", skipped=skipped)] == ["a.jpg", "q/b.jpg", "q/r/c.jpg"]
    assert skipped["link loop"] == 1


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    touch(tmp_path, "p/a.jpg", "q/b.jpg")
    (tmp_path / "p/q").symlink_to("../q")
    (tmp_path / "q/p").symlink_to("../p")
    found = [source.path for source in find(tmp_path / "p", tmp_path / "q", skipped=skipped)]
    assert found == ["a.jpg", "q/b.jpg", "b.jpg", "p/a.jpg"]
    assert skipped["link loop"] == 2


def test_a_broken_link_a_pipe_and_a_socket_are_inputs_without_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.jpg").symlink_to("gone.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        # the name of a socket is short
        monkeypatch.chdir(tmp_path)
        server.bind("socket.jpg")
        found = find(tmp_path)
    assert [source.path for source in found] == ["broken.jpg", "itself.jpg", "pipe.jpg", "socket.jpg"]
    assert all(source[3:] == (None, None, None) for source in found)
    assert find(tmp_path / "broken.jpg") == found[:1]


def test_a_folder_that_cannot_be_listed_is_counted_and_has_a_row_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.jpg", "locked/b.jpg", "open/c.jpg")
    refuse(tmp_path / "locked", monkeypatch)
    skipped: Counter[str] = Counter()
    found = find(tmp_path, skipped=skipped)
    assert [source.path for source in found] == ["a.jpg", "locked/", "open/c.jpg"]
    assert skipped == {"unreadable folder": 1}
    with pytest.raises(ImageError, match="the folder cannot be listed: Permission denied") as caught:
        reader.fetch(found[1])
    assert caught.value.kind == "unreadable"


def test_a_folder_asked_for_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=r"cannot list .*Permission denied"):
        find(tmp_path)


def refuse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(real: Callable[[str], object]) -> Callable[[str], object]:
        def listing(path: str) -> object:
            if path.rstrip("/") == str(folder):
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        return listing

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
