import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from aaam_pipeline.core import artifacts
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError


class Note(msgspec.Struct, frozen=True):
    text: str
    number: int


def fail(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def folder_with(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(content)
    (path / "below").mkdir()
    (path / "below" / "file").write_text(content)
    return path


@pytest.mark.parametrize("broken", [(os, "fsync"), (Path, "replace")])
def test_a_write_that_fails_leaves_the_old_content(
    broken: tuple[object, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    artifacts.write_bytes(path, b"old")
    monkeypatch.setattr(*broken, fail)
    with pytest.raises(OSError, match="No space"):
        artifacts.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_halfway_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        artifacts.write_bytes(tmp_path / "file", "text, not bytes")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_write_makes_folders_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    artifacts.write_bytes(tmp_path / "a" / "b" / "file", b"one")
    artifacts.write_bytes(tmp_path / "a" / "b" / "file", b"two")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a" / "b").iterdir()] == [("file", b"two")]


@pytest.mark.parametrize("atomic", [True, False])
def test_publishing_replaces_a_folder_while_a_reader_has_the_old_file_open(
    atomic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not atomic:
        monkeypatch.setattr(artifacts, "_exchange", lambda one, other: False)
    final, work = folder_with(tmp_path / "out", "old"), folder_with(tmp_path / "out.partial", "new")
    (final / "stale").touch()
    with (final / "file").open() as reader:
        artifacts.publish(work, final)
        assert reader.read() == "old"
    assert (final / "file").read_text() == (final / "below" / "file").read_text() == "new"
    assert sorted(path.name for path in final.iterdir()) == ["below", "file"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_publishing_where_nothing_was_is_a_rename(tmp_path: Path) -> None:
    artifacts.publish(folder_with(tmp_path / "out.partial", "new"), tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_work_folder_is_emptied_unless_work_is_resumed(tmp_path: Path) -> None:
    work = artifacts.work_folder(tmp_path / "deep" / "out")
    assert work.parent == tmp_path / "deep"
    (work / "part").touch()
    assert [path.name for path in artifacts.work_folder(tmp_path / "deep" / "out", resume=True).iterdir()] == ["part"]
    assert list(artifacts.work_folder(tmp_path / "deep" / "out").iterdir()) == []


def file_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "taken").touch()
    return tmp_path / "taken" / "out"


def folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "mkdir", fail)
    return tmp_path / "out"


def folder_there_but_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "out.partial").mkdir()
    monkeypatch.setattr(Path, "touch", fail)
    return tmp_path / "out"


@pytest.mark.parametrize("place", [file_in_the_way, folder_that_cannot_be_made, folder_there_but_read_only])
@pytest.mark.parametrize("resume", [True, False])
def test_a_place_that_cannot_be_written_to_is_a_usage_error(
    place: Callable[[Path, pytest.MonkeyPatch], Path], resume: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = place(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="cannot write to") as caught:
        artifacts.work_folder(final, resume=resume)
    assert str(final.parent) in str(caught.value)


def test_newest_is_the_folder_of_the_last_written_match(tmp_path: Path) -> None:
    for place, seconds in (("models/a/bce", 100), ("models/a/hard", 300), ("models/b/bce", 200), ("other/c/d", 900)):
        note = tmp_path / place / "bundle.json"
        artifacts.write_json(note, {})
        os.utime(note, (seconds, seconds))
    assert artifacts.newest(tmp_path, ["models/*/*/bundle.json"]) == tmp_path / "models/a/hard"
    assert artifacts.newest(tmp_path, ["models/*/*/bundle.json"], without=["hard"]) == tmp_path / "models/b/bce"
    assert artifacts.newest(tmp_path, ["models/b/*/bundle.json", "nowhere/*"]) == tmp_path / "models/b/bce"
    assert artifacts.newest(tmp_path, ["nowhere/*"]) is None


def test_json_survives_a_round_trip(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "note.json", Note("grüße", 3))
    assert artifacts.read_json(tmp_path / "note.json", Note, "a note") == Note("grüße", 3)


def test_a_missing_manifest_says_what_the_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match=r"is not a note: it has no note\.json"):
            artifacts.read_json(place / "note.json", Note, "a note")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"text": "a", "numb',
        b'{"text": "a"}',
        b'{"text": "a", "number": "3"}',
        b"[]",
        b"\xff\xfe",
        b'{"text": 1}',
    ],
)
def test_a_damaged_manifest_is_an_integrity_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "note.json").write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        artifacts.read_json(tmp_path / "note.json", Note, "a note")


def test_fields_that_a_later_version_added_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "note.json").write_bytes(b'{"text": "a", "number": 3, "later": true}')
    assert artifacts.read_json(tmp_path / "note.json", Note, "a note") == Note("a", 3)


def test_fingerprints_ignore_the_order_of_keys_and_nothing_else() -> None:
    assert artifacts.fingerprint({"a": 1, "b": [1, 2]}) == artifacts.fingerprint({"b": [1, 2], "a": 1})
    assert artifacts.fingerprint({"a": 1, "b": [1, 2]}) != artifacts.fingerprint({"a": 1, "b": [2, 1]})


def test_the_sources_fingerprint_changes_with_any_line_of_code(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "code.py").write_text("a = 1\n")
    (tmp_path / "notes.txt").write_text("one")
    before = artifacts.sources_fingerprint([tmp_path])
    (tmp_path / "notes.txt").write_text("two")
    assert artifacts.sources_fingerprint([tmp_path]) == before
    (tmp_path / "below" / "code.py").write_text("a = 2\n")
    assert artifacts.sources_fingerprint([tmp_path]) != before


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "index", tmp_path / "index"
    real.mkdir(parents=True)
    (real / "old").touch()
    link.symlink_to(real)
    work = artifacts.work_folder(link)
    (work / "new").touch()
    artifacts.publish(work, link)
    assert link.is_symlink()
    assert [path.name for path in real.iterdir()] == ["new"]
    assert not work.exists()


class Checksummed(msgspec.Struct, frozen=True):
    name: str
    facts: dict[str, Any]
    hash: str = ""


def test_a_checksummed_struct_is_known_from_a_changed_one(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    # what is not a number becomes null, and is no change
    written = artifacts.write_checksummed(path, Checksummed("grüße", {"b": 0.1, "a": [1, 1e-9], "c": float("nan")}))
    read = artifacts.read_checksummed(path, Checksummed, "a note")
    assert (read.name, read.hash, len(read.hash)) == ("grüße", written.hash, 64)
    for changed in (
        msgspec.structs.replace(read, name="gruesse"),
        msgspec.structs.replace(read, facts={"b": 0.2, "a": [1, 1e-9], "c": None}),
        msgspec.structs.replace(read, hash=""),
    ):
        artifacts.write_json(path, changed)
        with pytest.raises(IntegrityError, match=r"note\.json was changed"):
            artifacts.read_checksummed(path, Checksummed, "a note")
    artifacts.write_checksummed(path, read)
    with pytest.raises(VersionError, match=r"^of another version$"):
        artifacts.read_checksummed(path, Checksummed, "a note", lambda content: "of another version")


class NewerChecksummed(msgspec.Struct, frozen=True):
    name: str
    facts: dict[str, Any]
    later: float = 1
    hash: str = ""


class StrictChecksummed(Checksummed, frozen=True, forbid_unknown_fields=True):
    pass


@pytest.mark.parametrize("kind", [Checksummed, StrictChecksummed])
def test_a_whole_file_of_another_version_is_not_called_damaged(kind: type[Checksummed], tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    artifacts.write_checksummed(path, NewerChecksummed("a", {}))
    with pytest.raises(VersionError, match=r"note\.json was made by a newer version of aaam-pipe"):
        artifacts.read_checksummed(path, kind, "a note")
    # and where it was changed besides, it is not of another version
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(IntegrityError, match=r"note\.json (was changed|is damaged)"):
        artifacts.read_checksummed(path, kind, "a note")


@pytest.mark.parametrize("name", [b"\xff\xfe.jpg", b"\\xff.jpg", b"\\xzz.jpg", b"\xc3\xa9.jpg", b"folder\xe9/\xff.jpg"])
def test_text_of_a_path_leads_back_to_it(name: bytes, tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(name)
    place.parent.mkdir(exist_ok=True)
    place.touch()
    assert artifacts.real_path(Path(artifacts.path_text(place))) == place
