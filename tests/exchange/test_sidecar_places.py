"""Which sidecars are written, and which are not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyword_library import Library, dogs
from xmp_samples import DIGIKAM, LIGHTROOM, listed


@pytest.fixture
def library(tmp_path: Path, invoke: Callable[..., Any]) -> Library:
    return Library(tmp_path, invoke)


def test_both_sidecars_are_kept_in_step_and_a_raw_file_has_the_shared_one(library: Library) -> None:
    library.add("A.jpg", "B.CR2", "B.jpg", "C.png", "C.jpg", "D.JPG", "E.jpg", "E.jpg.png")
    for name in ("A.xmp", "A.jpg.xmp", "B.xmp", "C.xmp", "D.XMP"):
        library.sidecar(name).write_text(DIGIKAM, "utf8")
    photographs = ["A.jpg", "B.jpg", "C.png", "C.jpg", "D.JPG", "E.jpg", "E.jpg.png"]
    library.annotate(dogs(photographs))
    library.write("--sidecar-style", "stem")
    has_dog = {name for name in library.names() if name.lower().endswith("xmp") and "dog" in library.texts(name)}
    assert has_dog == {
        *("A.xmp", "A.jpg.xmp"),
        # of the raw file, and of two pictures
        *("B.jpg.xmp", "C.png.xmp", "C.jpg.xmp"),
        *("D.XMP", "E.xmp", "E.jpg.png.xmp"),
    }
    for name in ("B.xmp", "C.xmp"):
        assert library.sidecar(name).read_text("utf8") == DIGIKAM


def test_case_twins_have_a_sidecar_each(library: Library) -> None:
    library.add("img.jpg", "IMG.JPG")
    if len(library.names()) < 2:
        pytest.skip("this disk takes them for one")
    library.annotate({"img.jpg": {"dog": 0.9}, "IMG.JPG": {"cat": 0.9}})
    library.write()
    library.write()
    assert library.texts("img.jpg.xmp") == ["dog"]
    assert library.texts("IMG.JPG.xmp") == ["cat"]


def test_photographs_that_are_gone_changed_or_litter_get_nothing(library: Library) -> None:
    names = ["gone.jpg", "changed.jpg", "@eaDir/x.jpg", "._y.jpg", "#recycle/z.jpg", "good.jpg"]
    library.annotate(dogs(names))
    (library.photos / "gone.jpg").unlink()
    (library.photos / "changed.jpg").write_bytes(b"another")
    result = library.write()
    assert {name for name in library.names() if name.endswith(".xmp")} == {"good.jpg.xmp"}
    for text in ("1 photograph: gone", "1 photograph: changed since they were annotated", "3 photographs: a file of"):
        assert text in result.stderr


def test_folders_that_cannot_be_written_have_a_mirror(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.annotate({"locked/one.jpg": {"dog": 0.9}, "two.jpg": {"dog": 0.9}})
    theirs = library.sidecar("locked/one.xmp")
    theirs.write_text(LIGHTROOM, "utf8")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in Path(path).parts and real(path, mode))
    assert "the folder cannot be written to; --mirror DIR" in library.write(code=3).stderr.replace("\n", " ") or (
        "the sidecar one.xmp cannot be written to" in library.write(code=3).stderr
    )
    mirror = library.root / "mirror"
    library.write("--mirror", str(mirror))
    made = mirror.joinpath(*library.photos.parts[1:], "locked", "one.jpg.xmp")
    assert set(listed(made.read_bytes(), "digiKam:TagsList")) == {"dog", "Harbour", "Places/Sweden"}
    assert theirs.read_text("utf8") == LIGHTROOM
    assert "two.jpg.xmp" in library.names()
    before = made.stat().st_mtime_ns
    library.write("--mirror", str(mirror))
    assert made.stat().st_mtime_ns == before
    library.undo(mirror)
    assert not made.exists()


def test_an_undo_of_folders_and_files_finds_sidecars_of_photographs_that_are_gone(library: Library) -> None:
    library.annotate({"a/one.jpg": {"dog": 0.9}, "a/two.jpg": {"dog": 0.9}, "b/three.jpg": {"dog": 0.9}})
    library.write()
    (library.photos / "a/one.jpg").unlink()
    library.undo(library.photos / "a")
    assert library.names() == {"a/two.jpg", "b/three.jpg", "b/three.jpg.xmp"}
    library.undo(library.photos / "b" / "three.jpg.xmp")
    assert library.names() == {"a/two.jpg", "b/three.jpg"}
    assert library.invoke("keywords", "undo", library.root / "nowhere").exit_code == 2


def test_permissions_stay_and_links_are_followed(library: Library, tmp_path: Path) -> None:
    library.add("one.jpg", "two.jpg")
    real = tmp_path / "elsewhere.xmp"
    real.write_text(DIGIKAM, "utf8")
    real.chmod(0o600)
    library.sidecar("one.jpg.xmp").symlink_to(real)
    (library.photos / "two.jpg").chmod(0o640)
    library.annotate({"one.jpg": {"dog": 0.9}, "two.jpg": {"dog": 0.9}})
    library.write()
    assert library.sidecar("one.jpg.xmp").is_symlink()
    assert "dog" in library.texts("one.jpg.xmp")
    assert real.stat().st_mode & 0o777 == 0o600
    assert library.sidecar("two.jpg.xmp").stat().st_mode & 0o777 == 0o640
