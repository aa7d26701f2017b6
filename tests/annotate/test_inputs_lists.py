import io
import os
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finding import find, paths

from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.inputs import remote
from aaam_pipeline.core.errors import UsageError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


@pytest.mark.parametrize("name", ["list.txt", "list.LST"])
def test_a_text_list_is_taken_line_by_line_in_its_order(name: str, tmp_path: Path) -> None:
    listed = write(tmp_path, name, "b.jpg\na.jpg\n\nsub/c.dat\r\n \t\nb.jpg")
    skipped: Counter[str] = Counter()
    found = find(listed, skipped=skipped)
    assert [source.path for source in found] == ["b.jpg", "a.jpg", "sub/c.dat", "b.jpg"]
    assert {source.root for source in found} == {str(tmp_path)}
    assert skipped == {"blank line": 2}


def test_paths_are_relative_to_the_folder_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"xyz")
    listed = write(tmp_path / "lists", "l.txt", f"./b.jpg\n../a.jpg\n{tmp_path}/a.jpg\n{tmp_path}/lists//./b.jpg\n")
    monkeypatch.chdir("/")
    found = find(listed)
    below = str(tmp_path / "a.jpg")[1:]
    assert [source[:2] for source in found] == [
        (str(tmp_path / "lists/b.jpg"), str(tmp_path / "lists")),
        (str(tmp_path / "a.jpg"), "/"),
        (str(tmp_path / "a.jpg"), "/"),
        (str(tmp_path / "lists/b.jpg"), str(tmp_path / "lists")),
    ]
    assert [source.path for source in found] == ["b.jpg", below, below, "b.jpg"]
    assert [source.bytes for source in found] == [None, 3, 3, None]


def test_a_name_may_begin_with_a_hash_or_hold_blanks_and_quotes(tmp_path: Path) -> None:
    names = ["#recycle/a.jpg", " b.jpg", "c d .jpg ", '"e".jpg', "*.jpg", "{1,2}.jpg", "-"]
    assert paths(write(tmp_path, "l.txt", "\n".join(names))) == names


def test_a_list_with_nul_bytes_is_split_there(tmp_path: Path) -> None:
    listed = write(tmp_path, "l.txt", b"a\nb.jpg\0c\r\n.jpg\0\0 d\0")
    assert paths(listed) == ["a\nb.jpg", "c\r\n.jpg", " d"]


def test_names_that_are_not_utf8_are_kept_for_opening(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes(b"x")
    (found,) = find(write(tmp_path, "l.txt", b"caf\xe9.jpg\n"))
    assert found.path == "caf\\xe9.jpg"
    assert found.location == str(tmp_path / name)
    assert found.bytes == 1


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert paths(write(tmp_path, "l.txt", b"\xef\xbb\xbfa.jpg\n")) == ["a.jpg"]
    assert paths(write(tmp_path, "l.csv", b"\xef\xbb\xbfpath\na.jpg\n")) == ["a.jpg"]


def test_a_file_that_is_no_list_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no list of paths"):
        find(write(tmp_path, "l.txt", b"x" * 10_000_000))


def test_lines_longer_than_a_block_and_across_blocks_are_whole(tmp_path: Path) -> None:
    names = [f"{number:04d}{'x' * (number % 300)}.jpg" for number in range(2000)] + ["y" * 60_000]
    assert paths(write(tmp_path, "l.txt", "\n".join(names))) == names


@pytest.mark.parametrize("content", ["", "\n\n", "path\n"])
def test_a_list_without_lines_holds_no_images(content: str, tmp_path: Path) -> None:
    name = "l.csv" if content == "path\n" else "l.txt"
    with pytest.raises(UsageError, match=r"no images in .*\.(txt|csv): it is an empty list"):
        find(write(tmp_path, name, content))


def test_excluding_does_not_touch_what_is_named(tmp_path: Path) -> None:
    assert paths(write(tmp_path, "l.txt", ".a.jpg\nb.gif\n"), exclude=("*.gif",), recursive=False) == [
        ".a.jpg",
        "b.gif",
    ]


def test_a_limit_counts_lines(tmp_path: Path) -> None:
    assert paths(write(tmp_path, "l.txt", "a\nb\nc\n"), limit=2) == ["a", "b"]


def test_urls_in_a_list_are_not_looked_at(tmp_path: Path) -> None:
    urls = [
        "https://example.org/x/a.jpg?w=1&h=2",
        "http://user:secret@example.org:8080/b.jpg",
        "s3://bucket/key with blanks/c.jpg",
        "memory://box/#e?.jpg",
    ]
    found = find(write(tmp_path, "l.txt", "\n".join(urls)))
    assert [source.location for source in found] == urls
    assert [source[1:] for source in found] == [
        ("https://example.org", "x/a.jpg?w=1&h=2", None, None, None),
        ("http://example.org:8080", "b.jpg", None, None, None),
        ("s3://bucket", "key with blanks/c.jpg", None, None, None),
        ("memory://box", "#e?.jpg", None, None, None),
    ]
    assert all(source.mtime is None for source in found)


def test_a_file_url_in_a_list_is_a_local_path(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"x")
    (found,) = find(write(tmp_path, "l.txt", (tmp_path / "a b.jpg").as_uri()))
    assert found[:4] == (str(tmp_path / "a b.jpg"), str(tmp_path), "a b.jpg", 1)
    assert found.mtime is not None


def test_a_line_of_an_unknown_scheme_is_an_input_that_fails(tmp_path: Path) -> None:
    assert paths(write(tmp_path, "l.txt", "nosuch://x/a.jpg\n")) == ["a.jpg"]


def test_a_line_that_needs_an_extra_stops_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(scheme: str) -> None:
        raise ImportError(f"Please install what reads {scheme}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", not_installed)
    remote.missing.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"pip install 'aaam-pipe\[gcs\]'"):
            find(write(tmp_path, "l.txt", "a.jpg\ngs://bucket/a.jpg\n"))
        with pytest.raises(UsageError, match=r"pip install 'aaam-pipe\[s3\]'"):
            inputs.find(["s3://bucket/photos"])
    finally:
        remote.missing.cache_clear()


def test_a_dash_is_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a.jpg\nsub/b.jpg\n")))
    found = find("-", "-")
    assert [source[:4] for source in found] == [
        (str(tmp_path / "a.jpg"), str(tmp_path), "a.jpg", 1),
        (str(tmp_path / "sub/b.jpg"), str(tmp_path), "sub/b.jpg", None),
    ]


def test_standard_input_with_nul_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb.jpg\0c.jpg\0")))
    assert paths("-") == ["a\nb.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "id,path\n1,a.jpg\n2,b c.jpg\n"),
        ("l.csv", "Filename,label\na.jpg,x\nb c.jpg,y\n"),
        ("l.csv", '"image"\n"a.jpg"\n"b c.jpg"\n'),
        ("l.csv", "id;File;x,y\n1;a.jpg;\n2;b c.jpg;\n"),
        ("l.tsv", "url\tpath\nhttps://example.org/z\ta.jpg\nhttps://example.org/z\tb c.jpg\n"),
        ("l.csv", "id,path\r\n1,a.jpg\r\n2,b c.jpg\r\n"),
    ],
)
def test_a_table_has_a_column_of_paths(name: str, content: str, tmp_path: Path) -> None:
    assert paths(write(tmp_path, name, content)) == ["a.jpg", "b c.jpg"]


def test_the_column_may_be_chosen(tmp_path: Path) -> None:
    listed = write(tmp_path, "l.csv", "path,big one\na.jpg,b.jpg\n")
    assert paths(listed, column="big one") == ["b.jpg"]
    with pytest.raises(UsageError, match=r"no column nosuch in its heading; .*: path, big one"):
        find(listed, column="nosuch")


def test_a_table_without_a_heading_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--column: a\.jpg, 1\. That is its first line: if it is a picture already, put the line"
    ):
        find(write(tmp_path, "l.csv", "a.jpg,1\nb.jpg,2\n"))
    with pytest.raises(UsageError, match=r"its heading, the first line, is empty$"):
        find(write(tmp_path, "empty.csv", ""))
    pq.write_table(pa.table({"big one": ["a.jpg"]}), tmp_path / "l.parquet")
    with pytest.raises(UsageError, match=r"--column: big one$"):
        find(tmp_path / "l.parquet")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotation_marks_around_a_line_of_text(quote: str, tmp_path: Path) -> None:
    listed = write(tmp_path, "l.txt", f"{quote}a b.jpg{quote}\n{quote}\n")
    # they may be of the name
    assert paths(listed)[0] == f"{quote}a b.jpg{quote}"
    write(tmp_path, "a b.jpg", "")
    with pytest.raises(UsageError, match="stands in quotation marks, and there is a file of that name without them"):
        find(listed)
    write(tmp_path, f"{quote}a b.jpg{quote}", "")
    assert paths(listed)[0] == f"{quote}a b.jpg{quote}"


def test_a_text_list_of_windows_is_utf_16(tmp_path: Path) -> None:
    listed = write(tmp_path, "l.txt", "ö.jpg\r\nb.jpg\r\n".encode("utf-16"))
    assert paths(listed) == ["ö.jpg", "b.jpg"]


def test_a_table_without_a_known_column_names_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--column: id, photo"):
        find(write(tmp_path, "l.csv", "id,photo\n1,a.jpg\n"))


def test_cells_of_a_table_hold_what_they_hold_and_empty_ones_are_counted(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    listed = write(tmp_path, "l.csv", b'id,path\n1,"a\nb.jpg"\n2,\n3\n4,"c,d"" .jpg"\n' + b"5,\xff.jpg\n")
    assert [source.path for source in find(listed, skipped=skipped)] == ["a\nb.jpg", 'c,d" .jpg', "\\xff.jpg"]
    assert skipped == {"blank line": 2}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b.jpg", None, "a.jpg"]),
        pa.array(["b.jpg", "", "a.jpg"], pa.large_string()),
        pa.array([b"b.jpg", None, b"a.jpg"]),
        pa.array(["b.jpg", None, "a.jpg"]).dictionary_encode(),
    ],
)
def test_a_parquet_list_has_a_column_of_paths(column: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3], "file": column}), tmp_path / "l.parquet")
    skipped: Counter[str] = Counter()
    assert [source.path for source in find(tmp_path / "l.parquet", skipped=skipped)] == ["b.jpg", "a.jpg"]
    assert skipped == {"blank line": 1}


def test_a_parquet_column_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"x"}], "n": [1]}), tmp_path / "l.parquet")
    with pytest.raises(UsageError, match="column image holds struct"):
        find(tmp_path / "l.parquet")
    with pytest.raises(UsageError, match="column n holds int64"):
        find(tmp_path / "l.parquet", column="n")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "m.parquet")
    with pytest.raises(UsageError, match="no column path, sourcefile"):
        find(tmp_path / "m.parquet")


def test_a_damaged_list_is_a_usage_error_of_one_line(tmp_path: Path) -> None:
    for name, content in [("l.parquet", b"PAR1 no"), ("m.csv", b'id,path\n1,a.jpg\n"2,b.jpg\n')]:
        with pytest.raises(UsageError, match="cannot read the list") as caught:
            find(write(tmp_path, name, content))
        assert "\n" not in str(caught.value)


def test_a_list_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "l.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"cannot read the list .*No such file"):
        find(tmp_path / "l.txt")


def test_a_list_named_twice_is_taken_once_beside_folders(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    listed = write(tmp_path, "l.txt", "a.jpg\n")
    assert paths(tmp_path, listed, f"{tmp_path}/./l.txt") == ["a.jpg", "a.jpg"]


def test_a_glob_may_name_lists(tmp_path: Path) -> None:
    write(tmp_path, "1.txt", "a.jpg\n")
    write(tmp_path, "2.txt", "b.jpg\n")
    assert paths(tmp_path / "*.txt", tmp_path / "2.txt") == ["a.jpg", "b.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_memory_does_not_grow_with_the_list(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    lines = 200_000 if kind == "txt" else 50_000
    if kind == "parquet":
        table = pa.table({"path": ["a.jpg"] * lines})
        pq.write_table(table, tmp_path / "l.parquet", row_group_size=5000)
        # what pyarrow imports is not of the list
        find(tmp_path / "l.parquet", limit=1)
    else:
        write(tmp_path, f"l.{kind}", "path\n" + "a.jpg\n" * lines)
    tracemalloc.start()
    found = sum(1 for _ in inputs.find([tmp_path / f"l.{kind}"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == lines + (kind == "txt")
    assert peak < 3_000_000
