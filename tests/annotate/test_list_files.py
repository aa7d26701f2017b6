"""Lists as other programs write them: exiftool, Excel, PowerShell, pyarrow; and lists that come from elsewhere."""

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finding import find, paths, touch
from web_server import Site, serving

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.inputs import remote
from aaam_pipeline.core import http
from aaam_pipeline.core.errors import ImageError, UsageError


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        yield served
    http._pool.cache_clear()


NAMES = ["a.jpg", "Köln 1.jpg"]


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "content", "encoding"),
    [
        # exiftool -csv: its FileName lacks the folder
        ("l.csv", "SourceFile,FileName,Directory\na.jpg,x,y\nKöln 1.jpg,x,y\n", "utf-8"),
        ("l.csv", "sourcefile,image\na.jpg,x\nKöln 1.jpg,x\n", "utf-8"),
        ("l.csv", "file_name,text\na.jpg,x\nKöln 1.jpg,x\n", "utf-8"),
        ("l.csv", "url,Image_Path\nx,a.jpg\nx,Köln 1.jpg\n", "utf-8"),
        # Excel
        ("l.csv", "sep=;\r\npath;size\r\na.jpg;1,5\r\nKöln 1.jpg;2,5\r\n", "utf-8-sig"),
        ("l.csv", '"SEP=,"\r\npath,a;b;c\r\na.jpg,1\r\nKöln 1.jpg,2\r\n', "utf-8"),
        ("l.csv", "sep=\t\npath\tsize\na.jpg\t1\nKöln 1.jpg\t2\n", "utf-16"),
        ("l.csv", "path\tsize, bytes\na.jpg\t1\nKöln 1.jpg\t2", "utf-16"),
        ("l.tsv", "path\tsize\r\na.jpg\t1\r\nKöln 1.jpg\t2\r\n", "utf-16"),
        ("l.csv", "\ufeffpath\na.jpg\nKöln 1.jpg\n", "utf-16-be"),
        ("l.csv", "path\ra.jpg\rKöln 1.jpg\r", "utf-8"),
        # PowerShell's > writes UTF-16
        ("l.txt", "a.jpg\r\nKöln 1.jpg\r\n", "utf-16"),
        ("l.txt", "\ufeffa.jpg\nKöln 1.jpg", "utf-16-be"),
        ("l.txt", "\ufeffa.jpg\0Köln 1.jpg\0", "utf-16-le"),
    ],
)
def test_lists_of_other_programs_are_read(name: str, content: str, encoding: str, tmp_path: Path) -> None:
    assert paths(write(tmp_path, name, content, encoding)) == NAMES


def test_a_long_list_in_utf16_is_whole(tmp_path: Path) -> None:
    names = [f"{number:05d} ö𝄞.jpg" for number in range(9000)]
    assert paths(write(tmp_path, "l.txt", "\n".join(names), "utf-16")) == names


def test_a_list_in_utf16_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the list"):
        find(write(tmp_path, "l.txt", "a.jpg\n".encode("utf-16") + b"x"))


def test_a_cell_may_hold_a_whole_thumbnail(tmp_path: Path) -> None:
    cell = base64.b64encode(bytes(1_000_000)).decode()
    assert paths(write(tmp_path, "l.csv", f"ThumbnailImage,SourceFile\n{cell},a.jpg\n,Köln 1.jpg\n")) == NAMES


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_quotation_mark_that_nothing_closes_is_no_silent_end(end: str, tmp_path: Path) -> None:
    listed = write(tmp_path, "l.csv", f'path,title\na.jpg,"12" wide"\nb.jpg,"open\nc.jpg,x\nd.jpg,y{end}')
    with pytest.raises(UsageError, match="quotation mark that nothing closes"):
        find(listed)
    assert paths(write(tmp_path, "m.csv", f'path,title\na.jpg,"12" wide"\nb.jpg,"x\ny"{end}')) == ["a.jpg", "b.jpg"]


def test_the_column_asked_for_may_be_written_another_way(tmp_path: Path) -> None:
    listed = write(tmp_path, "l.csv", "path, Bild\u0308er \nx.jpg,a.jpg\n")
    assert paths(listed, column="Bild\u0308er") == ["a.jpg"]
    assert paths(write(tmp_path, "m.csv", "path,Vo\u0308gel\nx,a.jpg\n"), column="Vögel") == ["a.jpg"]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()),
        *(pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int8(), pa.binary())),
    ],
    ids=str,
)
def test_a_parquet_list_may_be_of_any_kind_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    column = pa.array([b"a.jpg", None, "Köln 1.jpg".encode()]).cast(
        pa.string() if "string" in str(value) else pa.binary()
    )
    column = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column.cast(kind)
    pq.write_table(pa.table({"n": [1, 2, 3], "SourceFile": column}), tmp_path / "l.parquet")
    skipped: Counter[str] = Counter()
    assert [item.path for item in find(tmp_path / "l.parquet", skipped=skipped)] == NAMES
    assert skipped == {"blank line": 1}


def test_paths_as_windows_writes_them_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "sub/Ko\u0308ln.jpg", "a\\b.jpg", "a/b.jpg")
    found = find(write(tmp_path, "l.txt", "sub\\Köln.jpg\r\n.\\a\\b.jpg\r\na\\b.jpg\r\nsub\\gone.jpg\r\n"))
    assert [item.path for item in found] == ["sub/Ko\u0308ln.jpg", "a/b.jpg", "a\\b.jpg", "sub\\gone.jpg"]
    assert [item.bytes for item in found] == [1, 1, 1, None]


def test_file_urls_with_one_slash_or_a_host_are_local_files(tmp_path: Path) -> None:
    touch(tmp_path, "a b.jpg")
    location = str(tmp_path / "a b.jpg")
    encoded = location.replace(" ", "%20")
    listed = write(tmp_path, "l.txt", f"file:{encoded}\nfile://localhost{encoded}\nFILE://{encoded}\n")
    assert [item.location for item in find(listed)] == [location] * 3


LEADS_HERE = [
    *("/etc/hostname", "file:///etc/hostname", "file:/etc/hostname", "file:hostname", "local:///etc/hostname"),
    *("FILE:///etc/hostname", "zip://a.jpg::file:///tmp/x.zip", "filecache::file:///etc/hostname", "git:///repository"),
]


@pytest.mark.parametrize("line", LEADS_HERE)
def test_a_list_of_the_web_never_reads_files_of_this_machine(line: str, site: Site, tmp_path: Path) -> None:
    for name, content in [("l.txt", f"a.jpg\n{line}\nb.jpg\n"), ("l.csv", f"path\na.jpg\n{line}\nb.jpg\n")]:
        site.files[f"/lists/{name}"] = content.encode()
        found = find(f"{site.url}/lists/{name}")
        assert [item.location for item in (found[0], found[2])] == [f"{site.url}/lists/{x}.jpg" for x in "ab"]
        assert not Path(found[1].location).exists()
        assert found[1].bytes is None
        with pytest.raises(ImageError) as caught:
            reader.fetch(found[1])
        assert caught.value.kind == "unreadable"
        assert found[1].location.startswith(("refused://", site.url))


@pytest.mark.parametrize("line", LEADS_HERE)
def test_a_list_of_a_bucket_never_reads_files_of_this_machine(line: str, tmp_path: Path) -> None:
    system, path = remote.open_system("memory://lists/l.txt")
    system.pipe_file(path, f"{line}\n".encode())
    (found,) = find("memory://lists/l.txt")
    assert found.location.startswith(("refused://", "memory://lists/"))
    with pytest.raises(ImageError):
        reader.fetch(found)


def test_what_is_refused_says_so(site: Site) -> None:
    site.files["/l.txt"] = b"/etc/hostname\n"
    (found,) = find(f"{site.url.replace('://', '://me:secret@')}/l.txt")
    assert found[1:3] == (site.url, "/etc/hostname")
    with pytest.raises(ImageError, match="a list from elsewhere may not name files of this machine"):
        reader.fetch(found)
