import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finding import find, paths

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.annotate.inputs import remote
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError

pytestmark = pytest.mark.slow

NAMES = [
    "b.jpg",
    "a.JPG",
    "z/10.jpg",
    "z/2.jpg",
    "m/deep/er/c.jpg",
    ".h.jpg",
    ".t/d.jpg",
    "n.txt",
    "#e?.jpg",
    "é ü.jpg",
]
SORTED = ["#e?.jpg", "a.JPG", "b.jpg", "é ü.jpg", "m/deep/er/c.jpg", "z/10.jpg", "z/2.jpg"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 of this machine."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket."""
    if request.param == "s3":
        options = {"endpoint_url": request.getfixturevalue("s3_server"), "key": "test", "secret": "test"}
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        fsspec.filesystem("s3").mkdir("box")
    remote._system.cache_clear()
    yield f"{request.param}://box"
    fsspec.filesystem(request.param).rm("box" if request.param == "s3" else "/box", recursive=True)
    remote._system.cache_clear()


def put(bucket: str, files: dict[str, bytes]) -> str:
    system, path = fsspec.core.url_to_fs(bucket)
    for name, data in files.items():
        system.pipe_file(f"{path}/{name}", data)
    return bucket


def tar_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_a_bucket_is_searched_like_a_folder(bucket: str) -> None:
    put(bucket, {name: name.encode() for name in NAMES})
    skipped: Counter[str] = Counter()
    found = find(f"{bucket}/", skipped=skipped)
    assert [source.path for source in found] == SORTED
    assert {source.root for source in found} == {bucket}
    assert [source.location for source in found] == [f"{bucket}/{name}" for name in SORTED]
    assert [reader.fetch(source).data.decode() for source in found] == SORTED
    assert [source.bytes for source in found] == [len(name.encode()) for name in SORTED]
    assert skipped == {"hidden": 2, "not an image": 1}


def test_the_time_of_an_object_is_that_of_its_listing(bucket: str) -> None:
    before = datetime.now().timestamp()
    put(bucket, {"a.jpg": b"1"})
    (found,) = find(bucket)
    assert found.mtime is not None
    assert before - 2 < found.mtime / 1e6 < before + 60
    assert reader.fetch(found)[:2] == (b"1", found.mtime)
    assert found.mtime is not None
    assert find(f"{bucket}/a.jpg") == [found]


def test_options_of_the_search_hold_in_a_bucket(bucket: str) -> None:
    put(bucket, dict.fromkeys(NAMES, b"x"))
    assert paths(bucket, recursive=False) == SORTED[:4]
    assert paths(bucket, hidden=True) == [*SORTED[:1], ".h.jpg", *SORTED[1:4], ".t/d.jpg", *SORTED[4:]]
    assert paths(bucket, exclude=("z", "*.JPG", "m/deep/*")) == ["#e?.jpg", "b.jpg", "é ü.jpg"]
    assert paths(bucket, limit=2) == SORTED[:2]


def test_a_listing_is_not_remembered(bucket: str) -> None:
    put(bucket, {"a.jpg": b"x", "c/d.jpg": b"x"})
    assert paths(bucket) == ["a.jpg", "c/d.jpg"]
    put(bucket, {"b.jpg": b"x", "c/e.jpg": b"x"})
    assert paths(bucket) == ["a.jpg", "b.jpg", "c/d.jpg", "c/e.jpg"]


def test_a_prefix_and_a_folder_inside_it_take_an_image_once(bucket: str) -> None:
    put(bucket, dict.fromkeys(["p/a.jpg", "p/q/b.jpg", "pq/c.jpg"], b"x"))
    assert paths(f"{bucket}/p", f"{bucket}/p/q/", f"{bucket}/p/a.jpg", f"{bucket}/pq") == ["a.jpg", "q/b.jpg", "c.jpg"]
    assert paths(f"{bucket}/p/q/b.jpg", f"{bucket}/p") == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "root", "found"),
    [
        ("*.jpg", "", ["a.jpg"]),
        ("**/*.jpg", "", ["a.jpg", "x/b.jpg", "y/c.jpg"]),
        ("[xy]/*", "", ["x/b.jpg", "y/c.jpg"]),
        ("x/*.jp?", "/x", ["b.jpg"]),
    ],
)
def test_a_glob_finds_objects(pattern: str, root: str, found: list[str], bucket: str) -> None:
    put(bucket, dict.fromkeys(["a.jpg", "x/b.jpg", "y/c.jpg", "z/d.txt"], b"x"))
    assert paths(f"{bucket}/{pattern}") == found
    assert {source.root for source in find(f"{bucket}/{pattern}")} == {bucket + root}


def test_an_object_whose_name_looks_like_a_glob_is_itself(bucket: str) -> None:
    put(bucket, dict.fromkeys(["[a].jpg", "a.jpg"], b"x"))
    assert paths(f"{bucket}/[a].jpg") == ["[a].jpg"]


@pytest.mark.parametrize("given", ["gone", "gone/", "gone.jpg", "gone.txt", "gone.tar", "gone/*.jpg", "{a,b}.jpg"])
def test_what_is_not_in_a_bucket_is_a_usage_error(given: str, bucket: str) -> None:
    put(bucket, {"a.jpg": b"x"})
    with pytest.raises(UsageError, match=r"no (file or folder|images in)|cannot list") as caught:
        find(f"{bucket}/{given}")
    assert "\n" not in str(caught.value)


def test_a_bucket_without_images_is_a_usage_error(bucket: str) -> None:
    with pytest.raises(UsageError, match=r"no images in .*1 not an image"):
        find(put(bucket, {"x/a.txt": b"x"}))


def test_lists_in_a_bucket_name_their_neighbours(bucket: str) -> None:
    put(bucket, {"l/list.txt": b"a.jpg\n./x/../b.jpg\nmemory://other/c.jpg\n/local.jpg\n", "l/a.jpg": b"here"})
    content = io.BytesIO()
    pq.write_table(pa.table({"path": [f"{n}.jpg" for n in range(10_000)]}), content)
    put(bucket, {"l.parquet": content.getvalue(), "l.csv": b"id,file\n1,a.jpg\n"})
    found = find(f"{bucket}/l/list.txt")
    assert [source[:3] for source in found] == [
        (f"{bucket}/l/a.jpg", f"{bucket}/l", "a.jpg"),
        (f"{bucket}/l/b.jpg", f"{bucket}/l", "b.jpg"),
        ("memory://other/c.jpg", "memory://other", "c.jpg"),
        ("refused:///local.jpg", remote.named(bucket).root, "/local.jpg"),
    ]
    assert reader.fetch(found[0])[:2] == (b"here", None)
    assert found[0].mtime is None
    assert len(find(f"{bucket}/l.parquet")) == 10_000
    assert paths(f"{bucket}/l.csv") == ["a.jpg"]


def test_shards_in_a_bucket_are_read_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{number}.jpg": bytes([number]) * 300_000 for number in range(5)}
    put(bucket, {f"s/{number}.tar": tar_of(members) for number in range(2)})
    fetched = []
    real = remote.read

    def count(url: str, start: int | None = None, end: int | None = None) -> tuple[bytes, int | None]:
        data, mtime = real(url, start, end)
        fetched.append(len(data))
        return data, mtime

    monkeypatch.setattr(remote, "read", count)
    found = find(f"{bucket}/s/{{0..1}}.tar")
    assert sum(fetched) < 2 * 700_000
    assert find(f"{bucket}/s/*.tar") == found
    assert [source.path for source in found] == [f"{number}.tar/{name}" for number in range(2) for name in members]
    assert [reader.fetch(source).data for source in found] == 2 * list(members.values())
    put(bucket, {"s/1.tar": tar_of(members)[:1000]})
    with pytest.raises(ImageError, match=r"cut off|range"):
        reader.fetch(found[-1])


def test_an_object_of_s3_costs_one_request(s3_server: str, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "from aaam_pipeline.annotate import inputs, reader\n"
        "(found,) = inputs.find(['s3://one-request'])\n"
        "assert reader.fetch(found).data == b'x'"
    )
    options = {"endpoint_url": s3_server, "key": "test", "secret": "test"}
    system = fsspec.filesystem("s3", **options)
    system.mkdir("one-request")
    system.pipe_file("one-request/a.jpg", b"x")
    caplog.clear()
    environment = {**os.environ, "FSSPEC_S3": json.dumps(options)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert caplog.text.count("/one-request/a.jpg") == 1


def test_an_object_that_went_away_fails(bucket: str) -> None:
    put(bucket, {"a.jpg": b"x", "b.jpg": b"y"})
    found = find(bucket)
    system, path = fsspec.core.url_to_fs(bucket)
    system.rm_file(f"{path}/b.jpg")
    with pytest.raises(ImageError, match="No such file") as caught:
        reader.fetch(found[1])
    assert caught.value.kind == "unreadable"


def test_a_service_that_fails_while_listing_stops_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    put("memory://fails", {"a.jpg": b"x", "b/c.jpg": b"x", "d/e.jpg": b"x"})
    system = remote.open_system("memory://fails")[0]
    real = system.ls

    def ls(path: str, detail: bool) -> object:
        if path.endswith("/b"):
            raise error
        return real(path, detail=detail)

    monkeypatch.setattr(system, "ls", ls)
    error: Exception = RuntimeError("connection\nlost")
    with pytest.raises(AaamError, match="cannot list memory://fails/b: connection lost; try again"):
        find("memory://fails")
    error = PermissionError("not yours")
    skipped: Counter[str] = Counter()
    assert [source.path for source in find("memory://fails", skipped=skipped)] == ["a.jpg", "b/", "d/e.jpg"]
    assert skipped == {"unreadable folder": 1}


@pytest.mark.parametrize("url", ["nosuch://x/a.jpg", "s3x://bucket"])
def test_an_unknown_scheme_is_a_usage_error_at_once(url: str) -> None:
    with pytest.raises(UsageError, match="unknown kind of URL; known are s3://, gs://"):
        inputs.find([url])


def test_a_bucket_that_may_not_be_read_is_a_usage_error(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": s3_server, "key": "test", "secret": "test"})
    remote._system.cache_clear()
    with pytest.raises(UsageError, match=r"no file or folder s3://nosuchbucket"):
        inputs.find(["s3://nosuchbucket/photos"])
    remote._system.cache_clear()


def test_the_environment_names_another_service(s3_server: str) -> None:
    options = {"endpoint_url": s3_server, "key": "test", "secret": "test"}
    system = fsspec.filesystem("s3", **options)
    system.mkdir("named-by-environment")
    system.pipe_file("named-by-environment/a.jpg", b"x", ACL="public-read")
    code = (
        "import sys; from aaam_pipeline.annotate import inputs, reader\n"
        "assert not {'fsspec', 'pyarrow', 'urllib3', 'torch'} & set(sys.modules), 'slow to start'\n"
        "print([reader.fetch(found).data for found in inputs.find(['s3://named-by-environment'])])\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "FSSPEC_S3": json.dumps(options)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("[b'x']\n", "")
    environment = {**os.environ, "FSSPEC_S3_ANON": "true", "FSSPEC_S3_ENDPOINT_URL": s3_server}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("[b'x']\n", "")
