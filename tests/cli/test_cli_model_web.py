"""`model add URL`: whole or not at all, with progress, and never with the URL's password on the screen."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import Invoke, Result
from local_server import Handler, Site, serving

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.models import adding, packed


@pytest.fixture
def file(tiny_bundle: Path, tmp_path: Path) -> Path:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    return tmp_path / "toy.aaam"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own models, none at first."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "aaam-pipe" / "models"


class Giver(Handler):
    """Gives files."""

    def give(self, data: bytes) -> None:
        self.head(200, len(data))
        self.body(data)


@pytest.fixture
def server() -> Iterator[Site]:
    with serving(Site, Giver) as site:
        yield site


def failed(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return str(result.stderr.splitlines()[-1])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_model_comes_from_the_web_whole_or_not_at_all(
    invoke: Invoke, file: Path, own: Path, server: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaam_pipeline.core.http.BACKOFF", 0.001)
    digest = file_sha256(file)
    server.files["/toy.aaam"] = file.read_bytes()
    server.files["/half.aaam"] = file.read_bytes()[:-9]
    result = invoke("model", "add", f"{server.url}/toy.aaam", "--sha256", digest, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sha256"] == digest
    assert names(own) == ["toy"]
    assert "404" in failed(invoke("model", "add", f"{server.url}/none.aaam", "--name", "x"), 1)
    said = failed(invoke("model", "add", f"{server.url}/half.aaam", "--name", "x"), 4)
    assert said.startswith(f"error: {server.url}/half.aaam is cut off")
    assert "no connection" in failed(invoke("model", "add", "http://127.0.0.1:9/x.aaam", "--name", "x"), 1)
    assert names(own) == ["toy"]


def test_a_password_of_a_url_is_never_printed(
    invoke: Invoke, file: Path, own: Path, server: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaam_pipeline.core.http.BACKOFF", 0.001)
    server.files["/toy.aaam"] = file.read_bytes()
    server.files["/half.aaam"] = file.read_bytes()[:-9]
    secret = server.url.replace("://", "://anna:s3cret@")
    for url in (f"{secret}/none.aaam", f"{secret}/half.aaam", "ftp://anna:s3cret@host/x.aaam"):
        result = invoke("model", "add", url, "--name", "x")
        assert result.exit_code
        assert "s3cret" not in result.output + result.stderr
        assert url.rpartition("@")[2] in result.stderr
    result = invoke("model", "add", f"{secret}/toy.aaam")
    assert result.exit_code == 0, result.output
    assert "s3cret" not in result.output + result.stderr


def test_progress_of_a_download_is_in_megabytes(file: Path, own: Path, server: Site) -> None:
    class Counting(NullReporter):
        told: ClassVar[list[int]] = []

        @contextmanager
        def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
            assert title == "MB of toy"
            self.told.append(total)
            yield lambda count, failed=0: self.told.append(count)

    server.files["/toy.aaam"] = file.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adding, "MEGABYTE", 1000)
        adding.add(f"{server.url}/toy.aaam", report=Counting())
    total, *counts = Counting.told
    assert total == sum(counts) == file.stat().st_size // 1000 > 0
