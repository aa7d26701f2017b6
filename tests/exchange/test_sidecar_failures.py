"""Sidecars when something goes wrong: each is as it was, or as it shall be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyword_library import Library, dogs, edit
from xmp_samples import LIGHTROOM, listed

from aaam_pipeline.exchange.keywords import files


@pytest.fixture
def library(tmp_path: Path, invoke: Callable[..., Any]) -> Library:
    return Library(tmp_path, invoke)


def test_a_damaged_sidecar_is_left_alone_and_named(library: Library) -> None:
    library.annotate({"one.jpg": {"dog": 0.9}, "two.jpg": {"dog": 0.9}})
    for content in (b"<x:xmpmeta", b"", b"hello"):
        library.sidecar("one.jpg.xmp").write_bytes(content)
        result = library.write(code=3)
        assert "failed: one.jpg: one.jpg.xmp is " in result.stderr
        assert library.sidecar("one.jpg.xmp").read_bytes() == content
        library.write("--max-failure-rate", "0.5")
    assert library.texts("two.jpg.xmp") == ["dog"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", range(3))
def test_a_disk_that_is_full_leaves_every_sidecar_whole(
    library: Library, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    library.add("a.jpg", "b.jpg", "c.jpg")
    library.sidecar("b.jpg.xmp").write_text(LIGHTROOM, "utf8")
    library.annotate(dogs(["a.jpg", "b.jpg", "c.jpg"]))
    _fail_at(monkeypatch, call, number)
    assert "no room on the disk" in library.write(code=1).stderr
    monkeypatch.undo()
    monkeypatch.chdir(library.root)
    for name in library.names() - {"a.jpg", "b.jpg", "c.jpg"}:
        assert name.endswith(".jpg.xmp")
        content = library.sidecar(name).read_bytes()
        assert content == LIGHTROOM.encode() or "dog" in listed(content, "dc:subject")
    library.write()
    assert all("dog" in library.texts(f"{name}.jpg.xmp") for name in "abc")


def _fail_at(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    count = 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > number:
                raise OSError(28, os.strerror(28))
            return real(*args, **kwargs)

        return called

    if call == "fsync":
        monkeypatch.setattr(files.os, "fsync", failing(os.fsync))
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", failing(Path.replace))
    else:
        real = Path.open

        def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            stream = real(path, mode, *args, **kwargs)
            if mode == "wb":
                stream = _Full(stream, failing(stream.write))
            return stream

        monkeypatch.setattr(Path, "open", opened)


class _Full:
    def __init__(self, stream: Any, write: Callable[..., Any]) -> None:
        self.stream, self.write = stream, write

    def __enter__(self) -> "_Full":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def test_two_runs_at_once_and_a_program_that_changes_a_sidecar_meanwhile(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add("one.jpg")
    path = library.sidecar("one.jpg.xmp")
    path.write_text(LIGHTROOM, "utf8")
    library.annotate({"one.jpg": {"dog": 0.9}})
    real = files.locked
    changed = []

    def late(place: Path) -> Any:
        if not changed:
            changed.append(place)
            edit(path, lambda text: text.replace("<rdf:li>Harbour</rdf:li>", "<rdf:li>Port</rdf:li>"))
        return real(place)

    monkeypatch.setattr(files, "locked", late)
    library.write()
    assert set(library.texts("one.jpg.xmp")) == {"Port", "Places", "Sweden", "dog"}
    monkeypatch.setattr(files, "WAIT", 0.05)
    library.annotate({"one.jpg": {"dog": 0.9, "cat": 0.9}})
    with real(path):
        assert "another process writes one.jpg.xmp" in library.write(code=3).stderr
    library.write()
    assert "cat" in library.texts("one.jpg.xmp")
