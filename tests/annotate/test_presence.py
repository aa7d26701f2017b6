"""Whether the file of a row is there, gone, or cannot be seen."""

import os
from pathlib import Path

import pytest
from conftest import make_photo

from aaam_pipeline.annotate.inputs import Scope
from aaam_pipeline.annotate.presence import FileFinder


@pytest.mark.parametrize(("error", "expected"), [(PermissionError(13, "x"), "unknown"), (OSError(116, "x"), "unknown")])
def test_what_cannot_be_seen_is_not_gone(
    error: OSError, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    make_photo(tmp_path / "other.jpg", 1)
    finder = FileFinder(Scope())
    assert finder.find(str(tmp_path), "gone.jpg") == "gone"
    monkeypatch.setattr(os, "scandir", refuse)
    assert FileFinder(Scope()).find(str(tmp_path), "gone.jpg") == expected
    monkeypatch.setattr(os, "lstat", refuse)
    assert finder.find(str(tmp_path), "gone.jpg") == expected


def test_a_link_that_leads_nowhere_is_there(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert FileFinder(Scope()).find(str(tmp_path), "link.jpg") == "there"


def test_the_row_of_a_folder_goes_when_it_can_be_listed(tmp_path: Path) -> None:
    """It stands for pictures that could not be listed."""
    (tmp_path / "sub").mkdir()
    assert FileFinder(Scope()).find(str(tmp_path), "sub/") == "gone"
