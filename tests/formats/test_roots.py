"""Places of rows that have another name: which names change, and how."""

from pathlib import Path

import pyarrow as pa

from aaam_pipeline.formats.roots import MovedRoot, apply_all


def renamed(old: str, new: str, *names: tuple[str, str]) -> list[tuple[str, str]] | None:
    roots, paths = zip(*names, strict=True)
    rows = apply_all([MovedRoot(old, new)], pa.table({"path": list(paths), "root": list(roots)}))
    if rows is None:
        return None
    return list(zip(rows["root"].to_pylist(), rows["path"].to_pylist(), strict=True))


def test_names_below_a_moved_root() -> None:
    assert renamed("/a", "/b", ("/a", "x"), ("/a/c", "x"), ("/ab", "x"), ("/", "ab/x"), ("/", "a/x")) == [
        ("/b", "x"),
        ("/b/c", "x"),
        ("/ab", "x"),
        ("/", "ab/x"),
        ("/", "b/x"),
    ]
    # the root lies above the old place, and not above the new one
    assert renamed("/m/a", "/n/b", ("/m", "a/x"), ("/m", "c/x")) == [("/n/b", "x"), ("/m", "c/x")]
    assert renamed("/m/a", "/m/b", ("/m", "a/x"), ("/m", "c/x")) == [("/m", "b/x"), ("/m", "c/x")]
    assert renamed("s3://one", "s3://two", ("s3://one/p", "x")) == [("s3://two/p", "x")]
    assert renamed("/x", "/y", ("/a", "x")) is None
    assert renamed("/a", "/b", ("/ä", "a/ü.jpg"), ("/", "a/ü.jpg")) == [("/ä", "a/ü.jpg"), ("/", "b/ü.jpg")]


def test_a_moved_root_can_be_named_again() -> None:
    once = renamed("/a", "/a/b", ("/a", "x"), ("/", "a/x"), ("/a/c", "x"))
    assert once == [("/a/b", "x"), ("/", "a/b/x"), ("/a/b/c", "x")]
    assert renamed("/a", "/a/b", *once) is None


def test_link_targets_follow_a_moved_root() -> None:
    rows = pa.table({"path": ["l", "m"], "root": ["/k", "/k"], "link_target": ["/a/x", None]})
    moved = apply_all([MovedRoot("/a", "/b")], rows)
    assert moved is not None
    assert moved["link_target"].to_pylist() == ["/b/x", None]


def test_the_folder_that_is_there_decides_where_names_hold_an_equals_sign(tmp_path: Path) -> None:
    (tmp_path / "b=c").mkdir()
    assert MovedRoot.parse(f"/a={tmp_path}/b=c") == MovedRoot("/a", f"{tmp_path}/b=c")
