import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from web_server import MODIFIED_MICROSECONDS, Site, serving

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.inputs import InputItem, local_item, remote, web
from aaam_pipeline.annotate.reader import Content
from aaam_pipeline.core import http
from aaam_pipeline.core.errors import ImageError

PICTURE = bytes(range(256)) * 40


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(http, "BACKOFF", 0.001)
    monkeypatch.setattr(http, "LONGEST_WAIT", 0.01)
    with serving() as served:
        served.files["/a.jpg"] = PICTURE
        yield served
    http._pool.cache_clear()


def failure(given: InputItem | str) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        reader.fetch(remote.named(given) if isinstance(given, str) else given)
    assert "\n" not in str(caught.value)
    return caught.value.kind, str(caught.value)


def test_a_local_file_is_read_with_its_time_as_of_now(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"old")
    listed = local_item(tmp_path / "a.jpg", tmp_path)
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    os.utime(tmp_path / "a.jpg", ns=(0, 5_999))
    assert reader.fetch(listed) == Content(PICTURE, 5)


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff\n.jpg")
    file.write_bytes(b"x")
    assert reader.fetch(local_item(file, tmp_path)).data == b"x"


def test_an_empty_file_is_read_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reader.fetch(local_item(tmp_path / "a.jpg", tmp_path)).data == b""


def test_what_is_not_there_or_no_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        for name in ("pipe.jpg", "folder.jpg", "socket.jpg"):
            assert failure(local_item(tmp_path / name, tmp_path)) == ("unreadable", "not a regular file")
    assert failure(local_item(Path("/dev/zero"), Path("/dev"))) == ("unreadable", "not a regular file")
    assert failure(local_item(tmp_path / "gone.jpg", tmp_path)) == ("unreadable", "No such file or directory")
    assert "symbolic links" in failure(local_item(tmp_path / "loop.jpg", tmp_path))[1]
    assert failure(InputItem("/a\0.jpg", "/", "a", None, None)) == ("unreadable", "embedded null byte")


def test_a_file_of_more_than_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as stream:
        stream.truncate(reader.LARGEST + 1)
    assert failure(local_item(tmp_path / "a.jpg", tmp_path))[0] == "too_large"
    assert failure(InputItem(str(tmp_path / "a.jpg"), "", "a.jpg", None, None))[0] == "too_large"


def test_memory_that_is_not_there_is_a_failure_of_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(source: InputItem) -> Content:
        raise MemoryError

    monkeypatch.setattr(reader, "_local", no_memory)
    assert failure(local_item(tmp_path / "a.jpg", tmp_path)) == ("too_large", "not enough memory to read it")


def test_a_url_is_read_with_the_time_that_the_server_tells(site: Site) -> None:
    assert reader.fetch(remote.named(f"{site.url}/a.jpg")) == Content(PICTURE, MODIFIED_MICROSECONDS)
    assert site.headers[0]["user-agent"] == "aaam-pipe"


def test_a_query_is_sent_and_a_password_too(site: Site) -> None:
    site.files["/a.jpg?w=1&x=%20"] = b"small"
    url = site.url.replace("//", "//me:p%40ss@") + "/a.jpg?w=1&x=%20"
    assert reader.fetch(remote.named(url)).data == b"small"
    assert site.headers[0]["authorization"] == "Basic bWU6cEBzcw=="


def test_blanks_and_letters_in_a_url_are_escaped(site: Site) -> None:
    site.files["/a%20b%C3%A9.jpg"] = b"x"
    assert reader.fetch(remote.named(f"{site.url}/a bé.jpg")).data == b"x"


@pytest.mark.parametrize(
    ("status", "said"), [(404, "HTTP 404 Not Found"), (403, "HTTP 403 Forbidden"), (410, "HTTP 410 Gone")]
)
def test_a_refusal_is_told_and_not_tried_again(status: int, said: str, site: Site) -> None:
    site.answers["/a.jpg"] = [status]
    assert failure(f"{site.url}/a.jpg") == ("unreadable", said)
    assert site.requests["/a.jpg"] == 1


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, 504, "short", "half_chunked", "hang_up"])
def test_what_may_pass_is_tried_again(trouble: int | str, site: Site) -> None:
    site.answers["/a.jpg"] = [trouble, trouble, trouble]
    assert reader.fetch(remote.named(f"{site.url}/a.jpg")).data == PICTURE
    assert site.requests["/a.jpg"] == 4


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (500, "HTTP 500 Internal Server Error"),
        ("short", "the connection broke off before the end of the file"),
        ("half_chunked", "the connection broke off before the end of the file"),
        ("hang_up", "the connection broke off before the end of the file"),
    ],
)
def test_what_does_not_pass_is_a_failure(trouble: int | str, said: str, site: Site) -> None:
    site.answers["/a.jpg"] = [trouble] * 9
    assert failure(f"{site.url}/a.jpg") == ("unreadable", said)
    assert site.requests["/a.jpg"] == http.ATTEMPTS


def test_the_server_may_ask_for_patience(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waited.append)
    monkeypatch.setattr(http, "LONGEST_WAIT", 30.0)
    site.answers["/a.jpg"] = [429, 500]
    reader.fetch(remote.named(f"{site.url}/a.jpg"))
    assert waited == [1.0, 0.002]


def test_a_silent_server_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    site.answers["/a.jpg"] = ["silent"] * 4
    assert failure(f"{site.url}/a.jpg") == ("unreadable", "no answer within 0 seconds")


def test_a_server_that_drips_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "DEADLINE", 0.2)
    site.answers["/a.jpg"] = ["drip"] * 4
    assert failure(f"{site.url}/a.jpg") == ("unreadable", "not finished after 0 seconds")
    assert site.requests["/a.jpg"] == 1


def test_a_body_that_is_too_large_is_not_read_to_its_end(site: Site) -> None:
    site.files["/a.jpg"] = b"x" * 5_000_000
    with pytest.raises(ImageError, match="more than 1000000 bytes") as caught:
        web.get(f"{site.url}/a.jpg", largest=1_000_000)
    assert caught.value.kind == "too_large"


def test_a_redirect_is_followed_and_a_circle_of_them_is_not(site: Site) -> None:
    site.files["/moved.jpg"] = b"moved"
    site.answers["/a.jpg"] = [302]
    assert reader.fetch(remote.named(f"{site.url}/a.jpg")).data == b"moved"
    site.answers["/a.jpg"] = [302]
    site.answers["/moved.jpg"] = [302] * 50
    assert failure(f"{site.url}/a.jpg") == ("unreadable", "too many redirects")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/a.jpg", "no connection to the server"),
        ("http://host.invalid/a.jpg", "the name of the server cannot be resolved"),
        ("http:///a.jpg", ""),
        ("http://[/a.jpg", ""),
        ("http://host:port/a.jpg", ""),
        ("https://\udcff.example/a.jpg", ""),
        ("nosuch://x/a.jpg", "unknown kind of URL"),
    ],
)
def test_a_server_that_is_not_there_is_a_failure(url: str, said: str, site: Site) -> None:
    kind, reason = failure(url)
    assert kind == "unreadable"
    assert said in reason
    assert reason.encode()


def test_a_server_without_tls_is_a_failure_of_one_line(site: Site) -> None:
    assert failure(f"{site.url.replace('http:', 'https:')}/a.jpg")[0] == "unreadable"


def test_a_proxy_of_the_environment_is_used_except_where_it_says_no(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["http://example.invalid/a.jpg"] = b"by proxy"
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//me:secret@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert reader.fetch(remote.named("http://example.invalid/a.jpg")).data == b"by proxy"
    assert site.headers[0]["proxy-authorization"].startswith("Basic ")
    assert reader.fetch(remote.named(f"{site.url}/a.jpg")).data == PICTURE


def test_many_threads_share_few_connections(site: Site) -> None:
    for number in range(50):
        site.files[f"/{number}.jpg"] = bytes([number]) * 1000
    named = [remote.named(f"{site.url}/{number % 50}.jpg") for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(reader.fetch, named))
    assert [content.data[:1] for content in read] == [bytes([number % 50]) for number in range(400)]
    assert len(site.connections) <= 16


def test_threads_read_buckets_at_the_same_time() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe({f"/fetched/{number}.jpg": bytes([number]) * 100 for number in range(50)})
    named = [remote.named(f"memory://fetched/{number}.jpg") for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        assert [content.data[0] for content in pool.map(reader.fetch, named)] == list(range(50))
    assert failure("memory://fetched/gone.jpg") == ("unreadable", "No such file or directory")


def test_a_forked_process_opens_its_own_connections(site: Site) -> None:
    reader.fetch(remote.named(f"{site.url}/a.jpg"))
    before = len(site.connections)
    if threading.active_count() > 20:
        pytest.skip("too many threads to fork")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"ok" if reader.fetch(remote.named(f"{site.url}/a.jpg")).data == PICTURE else b"no")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 2) == b"ok"
    os.close(read)
    os.close(write)
    assert len(site.connections) == before + 1
