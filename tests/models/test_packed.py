"""A bundle in one file: whatever is wrong with it is one line, and nothing is half-made."""

import errno
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import rewrite_json
from safetensors.numpy import save_file

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError, VersionError
from aaam_pipeline.models import packed
from aaam_pipeline.models.info import read_info


@pytest.fixture
def file(tiny_bundle: Path, tmp_path: Path) -> Path:
    packed.pack(tiny_bundle, tmp_path / "toy.aaam")
    return tmp_path / "toy.aaam"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def forged(bundle: Path, file: Path, change: Callable[[zipfile.ZipFile], object]) -> Path:
    """Write a file whose digest is right, of a bundle and what `change` adds."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in bundle.iterdir():
            archive.write(path, path.name)
        change(archive)
        archive.comment = packed.COMMENT + b"0" * packed.DIGITS
    with file.open("r+b") as stream:
        digest = packed._digest(stream, file.stat().st_size - packed.DIGITS)
        stream.seek(-packed.DIGITS, 2)
        stream.write(digest.encode())
    return file


def test_what_is_packed_is_unpacked_and_always_the_same_file(tiny_bundle: Path, file: Path, out: Path) -> None:
    assert packed.unpack(file, out) == read_info(tiny_bundle)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in tiny_bundle.iterdir()
    }
    packed.pack(out, file.with_name("again.aaam"))
    assert file.with_name("again.aaam").read_bytes() == file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_one_changed_byte_anywhere_is_refused(file: Path, out: Path) -> None:
    content = file.read_bytes()
    places = [
        *range(0, len(content), len(content) // 150),
        *range(len(content) - 500, len(content), 7),
        len(content) - 1,
    ]
    for place in places:
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises((IntegrityError, UsageError)) as caught:
            packed.unpack(file, out)
        assert "\n" not in str(caught.value)
        assert list(out.iterdir()) == []


def test_a_file_that_is_cut_off_is_refused(file: Path, out: Path) -> None:
    content = file.read_bytes()
    for length in (len(content) - 1, len(content) - 64, len(content) - 100, len(content) // 2, 200):
        file.write_bytes(content[:length])
        with pytest.raises(IntegrityError, match=r"cut off|damaged"):
            packed.unpack(file, out)
    for length in (10, 0):
        file.write_bytes(content[:length])
        with pytest.raises(UsageError, match="no model in one file"):
            packed.unpack(file, out)
    assert list(out.iterdir()) == []


def test_another_file_is_not_called_damaged(tmp_path: Path, out: Path) -> None:
    (tmp_path / "letter.aaam").write_text("Dear Sir or Madam, " * 50)
    with pytest.raises(UsageError, match="no model in one file"):
        packed.unpack(tmp_path / "letter.aaam", out)
    with pytest.raises(UsageError, match="no model in one file"):
        packed.unpack(tmp_path, out)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "..\\evil", ".hidden", "C:evil", "n" * 200])
def test_no_name_leads_out_of_the_folder(name: str, tiny_bundle: Path, tmp_path: Path, out: Path) -> None:
    file = forged(tiny_bundle, tmp_path / "evil.aaam", lambda archive: archive.writestr(name, b"x"))
    with pytest.raises(IntegrityError, match="a name that no bundle has"):
        packed.unpack(file, out)
    assert list(out.iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda archive: archive.writestr("run.py", b"x"), "does not name"),
        (lambda archive: archive.writestr("extra", b"x" * 99, zipfile.ZIP_DEFLATED), "compressed"),
        (lambda archive: [archive.writestr(f"f{n}", b"") for n in range(20)], "more files"),
    ],
)
def test_what_no_bundle_holds_is_refused(
    change: Callable[[zipfile.ZipFile], object], said: str, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    with pytest.raises(IntegrityError, match=said):
        packed.unpack(forged(tiny_bundle, tmp_path / "odd.aaam", change), out)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"version": 4}, VersionError, "version 4, but 3 is known; it needs a newer aaam-pipe"),
        ({"thresholds": [0.5]}, IntegrityError, "1 thresholds for 5 labels"),
        ({"files": {}}, IntegrityError, "does not name"),
    ],
)
def test_a_bundle_of_another_kind_is_named_by_the_file(
    changes: dict[str, object], kind: type[AaamError], said: str, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    rewrite_json(bundle / "bundle.json", **changes)
    file = forged(bundle, tmp_path / "other.aaam", lambda archive: None)
    with pytest.raises(kind, match=said) as caught:
        packed.unpack(file, out)
    assert "other.aaam" in str(caught.value)
    assert str(out) not in str(caught.value)


def _head(bundle: Path, **layer: Any) -> None:
    """Write another last layer, and its hash."""
    save_file({"weight": np.zeros((5, 256), "f4"), "bias": np.zeros(5, "f4")} | layer, bundle / "head.safetensors")
    _hashed(bundle, "head.safetensors")


def _hashed(bundle: Path, name: str) -> None:
    digest = file_sha256(bundle / name)
    rewrite_json(bundle / "bundle.json", files=lambda files: files | {name: digest})


def _junk(name: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        (bundle / name).write_bytes(b"junk")
        _hashed(bundle, name)

    return change


def _said(**values: Any) -> Callable[[Path], None]:
    return lambda bundle: rewrite_json(bundle / "bundle.json", **values)


FORM = {"file": "../../form.onnx", "precision": "fp32", "made_with": {}}
FORGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "files outside": (_said(files=lambda files: files | {"../toy.aaam": "0" * 64}), "a file outside of the bundle"),
    "form outside": (_said(runtime=FORM), "a runtime form that it has no hash of"),
    "one label twice": (_said(vocabulary=["a", "A", "b", "c", "d"]), "no label twice"),
    "no labels": (_said(vocabulary=[], thresholds=[]), "at least one label"),
    "k": (_said(k=0), "k is 0"),
    "fewer rows": (lambda bundle: _head(bundle, weight=np.zeros((4, 256), "f4"), bias=np.zeros(4, "f4")), "4 labels"),
    "not a number": (lambda bundle: _head(bundle, bias=np.full(5, np.nan, "f4")), "no number"),
    "no head": (_junk("head.safetensors"), "holds no head"),
    "no weights": (_junk("model.safetensors"), "holds no weights"),
    "no centroids": (_junk("familiarity.safetensors"), "no centroids"),
    "no object": (lambda bundle: (bundle / "bundle.json").write_text("[1]") and None, "bundle.json is damaged"),
}


@pytest.mark.parametrize("case", FORGED)
def test_right_hashes_do_not_make_a_model_of_what_does_not_fit_together(
    case: str, tiny_bundle: Path, tmp_path: Path, out: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    change, said = FORGED[case]
    change(bundle)
    with pytest.raises(IntegrityError, match=said) as caught:
        packed.unpack(forged(bundle, tmp_path / "other.aaam", lambda archive: None), out)
    assert "other.aaam" in str(caught.value)
    assert str(out) not in str(caught.value)


def test_a_zip_without_a_bundle_is_a_usage_error(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = forged(tmp_path / "empty", tmp_path / "x.aaam", lambda archive: archive.writestr("readme.md", b"x"))
    with pytest.raises(UsageError, match=r"it has no bundle\.json"):
        packed.unpack(file, out)


def test_no_room_is_said_before_anything_is_written(file: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(AaamError, match="no room for"):
        packed.unpack(file, out)
    assert list(out.iterdir()) == []


def test_a_disk_that_becomes_full_is_one_line(
    file: Path, out: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(AaamError, match="no room on the disk"):
        packed.unpack(file, out)
    with pytest.raises(AaamError, match="no room on the disk"):
        packed.pack(tiny_bundle, file.with_name("two.aaam"))
    assert not [path for path in file.parent.iterdir() if "two" in path.name]


def test_what_cannot_be_packed_leaves_no_file(tiny_bundle: Path, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        packed.pack(tiny_bundle, file)
    with pytest.raises(UsageError, match=r"NAME\.aaam"):
        packed.pack(tiny_bundle, tmp_path / "toy.zip")
    with pytest.raises(UsageError, match="is not a model bundle"):
        packed.pack(tmp_path, tmp_path / "new.aaam")
    with pytest.raises(UsageError, match="cannot write"):
        packed.pack(tiny_bundle, tmp_path / "nowhere" / "new.aaam")
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    (broken / "head.safetensors").unlink()
    with pytest.raises(IntegrityError, match="missing or damaged"):
        packed.pack(broken, tmp_path / "new.aaam")
    assert file.read_bytes() == before
    assert not (tmp_path / "new.aaam").exists()
