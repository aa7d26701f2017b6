"""Copies, links, hard links, overlapping folders in any arrangement: what is offered is never the last of anything."""

import hashlib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.fake_reader import FakeReader

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.search.duplicates import find_duplicates, surplus

FOLDERS = ("", "A", "A/B", "C")
NAMES = ("x.jpg", "y.jpg", "X.jpg")
PLACES = [f"{folder}/{name}".removeprefix("/") for folder in FOLDERS for name in NAMES]
CONTENTS = (b"one", b"two", b"other")
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PLACES), st.sampled_from(CONTENTS)),
    st.tuples(st.just("link"), st.sampled_from(PLACES), st.sampled_from(PLACES)),
    st.tuples(st.just("hard link"), st.sampled_from(PLACES), st.sampled_from(PLACES)),
    st.tuples(st.just("linked folder"), st.sampled_from(["L", "A/L", "C/L"]), st.sampled_from(FOLDERS)),
    st.tuples(st.just("linked folder"), st.sampled_from(["L", "A/L", "C/L"]), st.just("../outside")),
)
ROOTS = st.lists(st.sampled_from(["P", "P/A", "P/C", "P link", "list.txt"]), min_size=1, max_size=4, unique=True)


def do(top: Path, step: tuple[str, str, Any]) -> None:
    """Do a step; one that cannot be done is left out."""
    kind, place, what = step
    file = top / place
    if os.path.lexists(file):
        return
    if kind == "write":
        file.write_bytes(what)
    elif kind == "link" and place != what:
        file.symlink_to(os.path.relpath(top / what, file.parent))
    elif kind == "hard link" and (top / what).is_file():
        os.link(os.path.realpath(top / what), file)
    elif kind == "linked folder":
        file.symlink_to(os.path.relpath(top / what, file.parent))


def rows_of(roots: list[Path]) -> list[dict[str, Any]]:
    """Return a row for every input of several runs, as `annotate` would, all pictures of one look."""
    rows = []
    for root in roots:
        for item in inputs.find([root]):
            try:
                content = reader.fetch(item)
            except ImageError:
                continue
            digest = hashlib.sha256(content.data).hexdigest()
            facts = {"sha256": digest, "bytes": len(content.data), "mtime": content.mtime, "phash": f"{0:064x}"}
            place = {"path": item.path, "root": item.root, "link_target": content.link_target}
            rows.append(facts | place | {"width": 40, "height": 30, "labels": []})
    return rows


def contents(folder: Path) -> set[bytes]:
    files = (Path(top) / name for top, _, names in os.walk(folder) for name in names)
    return {file.read_bytes() for file in files if file.is_file() and not file.is_symlink()}


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=14), ROOTS, st.lists(st.sampled_from(PLACES), max_size=2), st.booleans())
def test_nothing_is_lost(steps: list[tuple[str, str, Any]], roots: list[str], later: list[str], old_rows: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        for name in (*(f"P/{each}" for each in FOLDERS), "outside"):
            (base / name).mkdir(parents=True, exist_ok=True)
        (base / "outside" / "x.jpg").write_bytes(CONTENTS[0])
        (base / "P link").symlink_to("P")
        for step in steps:
            do(base / "P", step)
        (base / "list.txt").write_text("\n".join([*(f"P/{place}" for place in PLACES), "P/A/../x.jpg", "P/x.jpg"]))
        try:
            rows = rows_of([base / root for root in roots])
        except UsageError:
            # a folder without an image
            return
        if old_rows:
            rows = [row | {"link_target": None} for row in rows]
        for number, place in enumerate(later):
            # after they were annotated: one file goes, another changes
            if (base / "P" / place).is_file():
                (base / "P" / place).unlink() if number else (base / "P" / place).write_bytes(b"changed since")
        before = contents(base)
        offered = surplus(find_duplicates(FakeReader(rows), NullReporter()).groups)
        for hit in offered:
            assert not hit.file.is_symlink()
            hit.file.unlink()
        assert contents(base) == before


def test_without_links_all_but_one_of_each_content_are_offered(tmp_path: Path) -> None:
    for place in ("a.jpg", "sub/b.jpg", "sub/c.jpg", "d.jpg"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"other" if place == "d.jpg" else b"same")
    groups = find_duplicates(FakeReader(rows_of([tmp_path])), NullReporter()).groups
    assert [hit.path for hit in surplus(groups)] == ["sub/b.jpg", "sub/c.jpg"]
    assert [hit.path for hit in surplus(groups, near=True)] == ["a.jpg", "sub/b.jpg", "sub/c.jpg"]


def test_a_file_that_changes_between_grouping_and_offering_is_not_offered(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"same")
    groups = find_duplicates(FakeReader(rows_of([tmp_path])), NullReporter()).groups
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").write_bytes(b"new picture")
    assert surplus(groups) == []


def test_a_copy_that_is_reached_by_a_link_alone_is_neither_kept_nor_offered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "P").mkdir()
    for place in ("outside/x.jpg", "P/z.jpg"):
        (tmp_path / place).write_bytes(b"same")
    (tmp_path / "P" / "a.jpg").symlink_to("../outside/x.jpg")
    (tmp_path / "P" / "more").symlink_to("../outside")
    groups = find_duplicates(FakeReader(rows_of([tmp_path / "P"])), NullReporter()).groups
    assert [[image.hit.path for image in group.images] for group in groups] == [["z.jpg", "a.jpg"]]
    assert surplus(groups) == surplus(groups, near=True) == []


def test_times_are_compared_to_the_microsecond(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 1, 12, 30, 0, 123456, tzinfo=UTC)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, ns=(0, int(moment.timestamp()) * 10**9 + 123_456_789))
    groups = find_duplicates(FakeReader(rows_of([tmp_path])), NullReporter()).groups
    assert len(surplus(groups)) == 1


@pytest.mark.parametrize("near", [False, True])
def test_the_first_of_a_group_that_stays_is_there(near: bool, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    rows = rows_of([tmp_path])
    (tmp_path / "a.jpg").unlink()
    found = find_duplicates(FakeReader(rows), NullReporter())
    assert found.gone == 1
    assert [hit.path for hit in surplus(found.groups, near=near)] == (["c.jpg"] if near else [])
