"""Getting a file from a server that breaks off, lies, refuses, or changes the file meanwhile."""

import errno
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets.publisher import Site, serving

from aaam_pipeline.core import http
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.fetching import transfer
from aaam_pipeline.datasets.fetching.transfer import announced_size, fetch

DATA = bytes(range(256)) * 300
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(http, "BACKOFF", 0)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as site:
        site.files["a.zip"] = DATA
        yield site


def get(
    site: Site, folder: Path, size: int | None = len(DATA), md5: str | None = MD5, names: tuple[str, ...] = ("a.zip",)
) -> bytes:
    fetch(folder / "a.zip", [site.address(name) for name in names], size, md5, NullReporter())
    assert [path.name for path in folder.iterdir()] == ["a.zip"]
    return (folder / "a.zip").read_bytes()


def test_a_file_comes_whole_and_is_not_fetched_twice(site: Site, tmp_path: Path) -> None:
    assert get(site, tmp_path) == DATA
    assert get(site, tmp_path) == DATA
    assert site.requests == {"a.zip": 1}


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        (["break_off", "break_off"], 1.0),
        (["hang_up", 503, "break_off", 429], 1.0),
        # who knows no ranges begins anew
        (["break_off", "whole"], 4 / 3),
        # another part than was asked for is not put in its place
        (["break_off", "other_part"], 2.0),
        (["unsized"], None),
        (["unsized_half"], None),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_broken_transfer_resumes_where_it_stopped(
    answers: list[int | str], sent: float | None, known: bool, site: Site, tmp_path: Path
) -> None:
    site.answers["a.zip"] = list(answers)
    assert (get(site, tmp_path) if known else get(site, tmp_path, None, None)) == DATA
    if sent is not None:
        assert site.sent == pytest.approx(sent * len(DATA), abs=2)


def test_another_run_resumes_where_the_last_one_stopped(site: Site, tmp_path: Path) -> None:
    site.answers["a.zip"] = ["break_off", *["hang_up"] * (transfer.ATTEMPTS - 1)]
    third = len(DATA) // 3
    with pytest.raises(DatasetError, match=rf"broke off.*{third:,} bytes are kept, the same command resumes there"):
        get(site, tmp_path)
    site.sent = 0
    assert get(site, tmp_path) == DATA
    assert site.sent == len(DATA) - third
    assert site.ranges == [f"bytes={third}-"]


@pytest.mark.parametrize("etag", ['"two"', None])
def test_a_file_that_has_changed_meanwhile_is_fetched_from_its_beginning(
    etag: str | None, site: Site, tmp_path: Path
) -> None:
    site.answers["a.zip"] = ["break_off", *["hang_up"] * (transfer.ATTEMPTS - 1)]
    with pytest.raises(DatasetError):
        get(site, tmp_path, md5=None)
    site.etag, site.files["a.zip"] = etag, DATA[::-1]
    assert get(site, tmp_path, md5=None) == DATA[::-1]


def test_without_any_mark_of_the_same_file_nothing_is_continued(site: Site, tmp_path: Path) -> None:
    site.etag, site.answers["a.zip"] = None, ["break_off"]
    assert get(site, tmp_path, md5=None) == DATA
    assert site.ranges == []


def test_a_beginning_of_another_file_is_found_out_by_the_checksum(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    assert get(site, tmp_path) == DATA
    assert site.ranges == ["bytes=1000-"]
    assert site.requests["a.zip"] == 2


def test_what_has_come_from_one_address_is_not_lost_to_another_that_is_dead(site: Site, tmp_path: Path) -> None:
    site.answers["a.zip"] = ["break_off", *["hang_up"] * (transfer.ATTEMPTS - 1)]
    with pytest.raises(DatasetError, match="bytes are kept"):
        get(site, tmp_path, None, None, ("a.zip", "nothing.zip"))
    site.sent = 0
    assert get(site, tmp_path, None, None) == DATA
    assert site.sent == len(DATA) - len(DATA) // 3


@pytest.mark.parametrize("rest", [b"", b"longer"])
def test_a_part_as_long_as_the_file_or_longer_is_no_trouble(rest: bytes, site: Site, tmp_path: Path) -> None:
    for size, md5 in ((len(DATA), MD5), (None, MD5)):
        (tmp_path / "a.zip").unlink(missing_ok=True)
        (tmp_path / "a.zip.part").write_bytes(DATA + rest)
        assert get(site, tmp_path, size=size, md5=md5) == DATA


def test_a_whole_part_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(DATA)
    (tmp_path / "a.zip.part.json").write_text(f'{{"address": "x", "validator": null, "total": {len(DATA)}}}')
    assert get(site, tmp_path, size=None) == DATA
    assert site.requests["a.zip"] == 0


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([404], "HTTP 404 Not Found"),
        ([403], "HTTP 403 Forbidden"),
        ([500] * 6, "HTTP 500 Internal Server Error"),
        (["hang_up"] * 6, "the connection broke off before the end of the file"),
        (["garbled"] * 2, f"what comes has not the MD5 {MD5}"),
        (["web_page"], "the server sends a web page, not the file"),
    ],
)
def test_what_an_address_does_not_have_is_said_and_the_next_one_tried(
    answers: list[int | str], said: str, site: Site, tmp_path: Path
) -> None:
    site.answers["bad.zip"], site.files["bad.zip"] = list(answers), DATA
    with pytest.raises(DatasetError, match=rf"cannot download a\.zip from .*/bad\.zip: {said}$"):
        get(site, tmp_path, names=("bad.zip",))
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".part", ".json")] == []
    site.answers["bad.zip"] = list(answers)
    assert get(site, tmp_path, names=("bad.zip", "a.zip")) == DATA


def test_a_file_of_another_size_is_not_the_one(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"the file there has {len(DATA):,} bytes, not 99"):
        get(site, tmp_path, size=99, md5=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9/a.zip", "no connection to the server"),
        ("ftp://example.org/a.zip", "not a URL: .*"),
        ("http://[bad/a.zip", "not a URL: .*"),
    ],
)
def test_a_server_that_is_not_there_is_said(address: str, said: str, site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        fetch(tmp_path / "a.zip", [address], None, None, NullReporter())
    assert "\n" not in str(caught.value)


def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(http, "TIMEOUT", 0.05)
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DatasetError, match=r"no answer within"):
        fetch(tmp_path / "a.zip", [f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"], None, None, NullReporter())


def test_a_full_disk_is_said_and_what_has_come_is_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode="r", *more, _open=Path.open, **named: (
        Full() if self.suffix == ".part" and mode in ("wb", "r+b") else _open(self, mode, *more, **named)
    ))  # fmt: skip
    with pytest.raises(DatasetError, match=r"the disk is full: .*a\.zip\.part needs more"):
        get(site, tmp_path)


def test_the_size_is_asked_for_without_fetching(site: Site) -> None:
    assert announced_size([site.address("nothing"), "http://127.0.0.1:9/", site.address("a.zip")]) == len(DATA)
    assert announced_size([site.address("nothing")]) is None
    assert site.sent == 0
