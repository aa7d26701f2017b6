import io
import tarfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finding import find
from web_server import Site, serving

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.core import http
from aaam_pipeline.core.errors import ImageError, UsageError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("aaam_pipeline.core.http.BACKOFF", 0.001)
    with serving() as served:
        yield served
    http._pool.cache_clear()


def tar_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_a_url_is_an_input_that_nothing_is_asked_of(site: Site) -> None:
    urls = [f"{site.url}/x/a.jpg", f"{site.url}/y?id=3", f"{site.url}/x/a.jpg"]
    assert [source[:4] for source in find(*urls)] == [
        (urls[0], site.url, "x/a.jpg", None),
        (urls[1], site.url, "y?id=3", None),
    ]
    assert not site.requests


@pytest.mark.parametrize("path", ["", "/", "/photos/"])
def test_a_folder_of_the_web_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="give a list of its URLs"):
        inputs.find([f"https://example.org{path}"])


def test_a_compressed_tar_of_the_web_is_refused() -> None:
    with pytest.raises(UsageError, match="decompress"):
        inputs.find(["https://example.org/s.tar.gz?x=1"])


def test_a_list_of_the_web_is_read(site: Site) -> None:
    site.files["/l/list.txt"] = b"a.jpg\n../b.jpg\nhttps://example.org/c.jpg\n/absolute.jpg\n"
    assert [source.location for source in find(f"{site.url}/l/list.txt")] == [
        f"{site.url}/l/a.jpg",
        f"{site.url}/b.jpg",
        "https://example.org/c.jpg",
        "refused:///absolute.jpg",
    ]


def test_tables_and_parquet_of_the_web_are_read_also_without_ranges(site: Site) -> None:
    content = io.BytesIO()
    pq.write_table(pa.table({"url": ["https://example.org/a.jpg"]}), content)
    site.files["/l.parquet?key=1"] = content.getvalue()
    site.files["/l.csv"] = b"url\nhttps://example.org/b.jpg\n"
    site.ranges = False
    assert [source.path for source in find(f"{site.url}/l.parquet?key=1", f"{site.url}/l.csv")] == ["a.jpg", "b.jpg"]


def test_a_list_of_the_web_that_is_not_there_is_a_usage_error(site: Site) -> None:
    with pytest.raises(UsageError, match=r"cannot read the list .*: HTTP 404 Not Found"):
        find(f"{site.url}/l.txt")


def test_of_a_shard_of_the_web_only_headers_and_images_are_fetched(site: Site) -> None:
    members = {f"{number}.jpg": bytes([number]) * 1_000_000 for number in range(8)}
    site.files["/s/00.tar"] = tar_of(members)
    found = find(f"{site.url}/s/00.tar")
    assert [source.path for source in found] == [f"s/00.tar/{name}" for name in members]
    assert site.sent < 1_000_000
    assert {source.root for source in found} == {site.url}
    assert [reader.fetch(source).data for source in found] == list(members.values())
    assert all(source.mtime is not None for source in found)


def test_shards_of_the_web_are_named_by_braces(site: Site) -> None:
    for number in range(3):
        site.files[f"/s/{number:02d}.tar"] = tar_of({f"{number}.jpg": b"x", "empty.jpg": b""})
    found = find(f"{site.url}/s/{{00..02}}.tar", limit=5)
    assert [source.path for source in found][::2] == ["s/00.tar/0.jpg", "s/01.tar/1.jpg", "s/02.tar/2.jpg"]
    assert reader.fetch(found[1]).data == b""


def test_a_shard_that_is_not_there_is_a_usage_error(site: Site) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*/gone.tar: HTTP 404 Not Found"):
        find(f"{site.url}/gone.tar")


def test_a_shard_that_is_cut_off_or_breaks_off_has_a_row_that_fails(site: Site) -> None:
    site.files["/cut.tar"] = tar_of({"a.jpg": b"a" * 1000, "b.jpg": b"b" * 1000})[:2000]
    site.files["/gone.tar"] = tar_of({"a.jpg": b"a" * 1000, "b.jpg": b"b" * 100_000, "c.jpg": b"c"})
    site.answers["/gone.tar"] = [200, 404]
    found = find(f"{site.url}/cut.tar", f"{site.url}/gone.tar")
    assert [source.path for source in found] == [
        "cut.tar/a.jpg",
        "cut.tar",
        "gone.tar/a.jpg",
        "gone.tar/b.jpg",
        "gone.tar",
    ]
    for source in (found[1], found[4]):
        with pytest.raises(ImageError, match="damaged tar"):
            reader.fetch(source)


def test_a_server_without_ranges_gives_no_member(site: Site) -> None:
    site.files["/s.tar"] = tar_of({"a.jpg": b"a" * 1000})
    (found,) = find(f"{site.url}/s.tar")
    site.ranges = False
    with pytest.raises(ImageError, match="no range requests"):
        reader.fetch(found)
    with pytest.raises(UsageError, match="no range requests"):
        find(f"{site.url}/s.tar")
