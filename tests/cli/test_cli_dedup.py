"""`aaam-pipe dedup -0 | xargs -0 rm` as the documentation has it: of everything, one file stays."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Invoke, make_photo

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build

PIPE = f"{sys.executable} -m aaam_pipeline dedup --index {{index}} {{words}} -0 | xargs -0 rm -f"


def indexed(model: Path, out: Path, *given: list[Path]) -> Path:
    """Annotate each list of inputs into a folder of its own; return one index of them all."""
    for number, each in enumerate(given):
        options = runner.Options(backend="torch", device="cpu", num_workers=0)
        runner.annotate(inputs.find(each), model, out / f"ann{number}", options, NullReporter())
    build([out / f"ann{number}" for number in range(len(given))], out / "index", NullReporter())
    return out / "index"


def delete(index: Path, words: str = "") -> str:
    """Run the documented line; return what was said."""
    line = PIPE.format(index=index, words=words)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Real copies and everything that only looks like one."""
    library = tmp_path / "K"
    original = make_photo(library / "z_original.jpg", 1)
    (library / "a_link.jpg").symlink_to("z_original.jpg")
    make_photo(library / "real" / "one.jpg", 2)
    (library / "also").symlink_to("real")
    hard = make_photo(library / "hard" / "b.jpg", 3)
    os.link(hard, library / "hard" / "a.jpg")
    make_photo(library / "twice" / "t.jpg", 4)
    for name in ("copy.jpg", "deep/copy.jpg", "Copy.jpg"):
        (library / "copies" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(make_photo(tmp_path / "c.jpg", 5), library / "copies" / name)
    shutil.copyfile(original, library / "y_copy.jpg")
    return library


def test_of_everything_one_file_stays(library: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("K/twice/t.jpg\nK/twice/t.jpg\nK/also/../also/one.jpg\n")
    (tmp_path / "linked").symlink_to("K")
    roots = [[library], [library / "copies"], [tmp_path / "list.txt"], [tmp_path / "linked"]]
    before = contents(library)
    said = delete(indexed(tiny_bundle, tmp_path / "out", *roots))
    assert contents(library) == before
    assert "3 of them are listed" in said
    left = {path.relative_to(library).as_posix() for path in library.rglob("*.jpg")}
    # links are never listed, and hard links are one file
    assert {"a_link.jpg", "hard/a.jpg", "hard/b.jpg", "real/one.jpg", "twice/t.jpg"} <= left
    assert len(left) == 7
    # a second time there is nothing left to delete: what is gone is not counted
    assert "0 of" in delete(tmp_path / "out" / "index")
    assert contents(library) == before


def test_with_near_the_first_of_every_group_stays(tiny_bundle: Path, tmp_path: Path) -> None:
    from PIL import Image

    photo = make_photo(tmp_path / "P" / "large.jpg", 1, size=(200, 160))
    for width in (160, 120):
        Image.open(photo).resize((width, width * 4 // 5)).save(tmp_path / "P" / f"{width}.jpg")
    make_photo(tmp_path / "P" / "other.jpg", 2)
    index = indexed(tiny_bundle, tmp_path / "out", [tmp_path / "P"])
    delete(index)
    assert len(list((tmp_path / "P").iterdir())) == 4
    assert "2 of them are listed: of each, the first of its group stays" in delete(index, "--near")
    assert {path.name for path in (tmp_path / "P").iterdir()} == {"large.jpg", "other.jpg"}


def test_files_that_are_gone_or_changed_are_left_out_and_said(
    library: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    index = indexed(tiny_bundle, tmp_path / "out", [library])
    (library / "y_copy.jpg").write_bytes(b"another picture")
    (library / "copies" / "copy.jpg").unlink()
    result = invoke("dedup", "--index", index, "--json")
    groups = [[image["path"] for image in json.loads(line)["images"]] for line in result.stdout.splitlines()]
    assert groups == [["copies/Copy.jpg", "copies/deep/copy.jpg"]]
    assert "2 left out: gone or changed since they were annotated" in result.stderr
    assert ", in 1 group; 1 byte for byte" in result.stderr


def test_flat_pictures_are_no_copies_of_each_other(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    from PIL import Image

    (tmp_path / "P").mkdir()
    for name, colour in (("black", "black"), ("white", "white"), ("grey", "#777"), ("same", "black")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / "P" / f"{name}.png")
    result = invoke("dedup", "--index", indexed(tiny_bundle, tmp_path / "out", [tmp_path / "P"]), "--paths")
    assert result.stdout == f"{tmp_path}/P/same.png\n"
    assert "4 without a perceptual hash" in result.stderr
