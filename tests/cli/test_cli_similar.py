"""`aaam-pipe similar` and `dedup` as people type them: spellings of a path, all outputs, what is refused."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Invoke, make_photo, rewrite_json
from PIL import Image

from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.index.build import build


def make_index(photos: Path, model: Path, folder: Path) -> Path:
    runner.annotate(
        inputs.find([photos]), model, folder / "ann", runner.Options(backend="torch", num_workers=0), NullReporter()
    )
    build(folder / "ann", folder / "index", NullReporter())
    return folder / "index"


@pytest.fixture
def linked(tiny_bundle: Path, tmp_path: Path) -> Path:
    """An index of a folder that was named by a symbolic link: `link` leads to `photos`."""
    for number in range(4):
        make_photo(tmp_path / "photos" / "deep" / f"{number}.jpg", number)
    (tmp_path / "link").symlink_to("photos")
    return make_index(tmp_path / "link", tiny_bundle, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "link/deep/1.jpg",
        "./link/deep/../deep/1.jpg",
        "photos/deep/1.jpg",
        "another/1.jpg",
        "straight.jpg",
        "{tmp}/photos/deep/1.jpg",
        "{tmp}//link/deep/./1.jpg",
    ],
)
def test_an_indexed_photograph_is_known_by_every_way_to_it(
    name: str, linked: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "another").symlink_to(tmp_path / "photos" / "deep")
    (tmp_path / "straight.jpg").symlink_to(tmp_path / "link" / "deep" / "1.jpg")
    # no model is asked
    monkeypatch.delattr(backends, "create")
    result = invoke("similar", name.format(tmp=tmp_path), "--index", linked, "--json", "-q")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 3
    assert "1.jpg" not in {json.loads(line)["path"] for line in result.stdout.splitlines()}


def test_a_loop_of_links_is_no_photograph(linked: Path, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    result = invoke("similar", "loop.jpg", "--index", linked)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_url_is_known_where_the_index_has_it(
    annotated: Path, invoke: Invoke, tmp_path: Path, rooted: Callable[[str], Path]
) -> None:
    index = rooted("https://photos.test")
    result = invoke("similar", "https://photos.test/001.jpg", "--index", index, "--paths", "-q")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 20
    assert all(line.startswith("https://photos.test/") for line in result.stdout.splitlines())
    result = invoke("similar", "https://photos.test/none.jpg", "--index", index)
    assert result.exit_code == 2
    assert "no photograph https://photos.test/none.jpg" in result.stderr
    # what is behind a URL is neither copied nor shown
    result = invoke("similar", "https://photos.test/001.jpg", "--index", index, "--copy-to", "best", "--html", "p.html")
    assert result.exit_code == 1
    assert "20 of 20 images were not copied: 20 not on this machine" in result.stderr
    page = (tmp_path / "p.html").read_text()
    assert page.count("not on this machine") == 20
    assert page.count('href="https://photos.test/') == 20


@pytest.fixture
def rooted(annotated: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes an index of `annotated` whose images are said to lie below another root."""

    def make(root: str) -> Path:
        shutil.copytree(annotated, tmp_path / "ann")
        for part in (tmp_path / "ann").glob("*.parquet"):
            rows = pq.ParquetFile(part).read()
            column = rows.schema.get_field_index("root")
            rows = rows.set_column(column, rows.schema.field("root"), pa.array([root] * len(rows)))
            part_files.write_part(part, rows)
        rewrite_json(tmp_path / "ann" / "_manifest.json", roots=[root])
        build(tmp_path / "ann", tmp_path / "index", NullReporter())
        return tmp_path / "index"

    return make


def test_a_model_is_loaded_once_for_several_photographs(
    indexed: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, create = [], backends.create
    monkeypatch.setattr(backends, "create", lambda *given: loaded.append(given) or create(*given))
    names = [make_photo(tmp_path / f"{number}.png", number).name for number in range(50, 53)]
    result = invoke("similar", *names[:2], "--not", names[2], "--index", indexed, "--json")
    assert result.exit_code == 0, result.output
    assert len(loaded) == 1


@pytest.mark.parametrize("option", ["--json", "--csv", "--paths", "-0", None])
def test_every_output_has_the_same_images_in_the_same_order(
    option: str | None, indexed: Path, photos: Path, invoke: Invoke
) -> None:
    asked = ("similar", photos / "001.jpg", "--query", "grass|dog", "--index", indexed, "--top", "5")
    paths = invoke(*asked, "--paths").stdout.splitlines()
    assert len(paths) == 5
    result = invoke(*asked, *([option] if option else []))
    assert (result.exit_code, result.stderr) == (0, "")
    read = {
        "--json": lambda text: [f"{hit['root']}/{hit['path']}" for hit in map(json.loads, text.splitlines())],
        "--csv": lambda text: [row["location"] for row in csv.DictReader(io.StringIO(text, newline=""))],
        "--paths": str.splitlines,
        "-0": lambda text: text.split("\0")[:-1],
        None: lambda text: [line.split("\t")[1] for line in text.splitlines()],
    }
    assert read[option](result.stdout) == paths


def test_a_title_says_what_was_asked(indexed: Path, photos: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(
        *("similar", photos / "001.jpg", "--not", photos / "002.jpg", "--query", "dog <b>", "--index", indexed),
        *("--html", "page.html"),
    )
    assert result.exit_code == 2
    assert not (tmp_path / "page.html").exists()
    result = invoke(
        *("similar", photos / "001.jpg", "--not", photos / "002.jpg", "--query", "dog", "--index", indexed),
        *("--html", "page.html"),
    )
    title = f"similar to {photos}/001.jpg not {photos}/002.jpg dog"
    assert f"<title>{title}</title>" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument"),
        (("001.jpg", "--top", "0"), "--top"),
        (("001.jpg", "--query", ""), ""),
        (("001.jpg", "--query", "zebra"), "zebra"),
        (("001.jpg", "--query", "(dog"), "parenthesis"),
        (("001.jpg", "--not", "gone.jpg"), "gone.jpg"),
        (("gone.jpg",), "neither as a file nor in the index"),
        ((".",), "is a folder; name photographs"),
        (("",), "an argument is empty"),
        (("001.jpg", "--csv", "--json"), "exclude each other"),
        (("001.jpg", "--html", "page.pdf"), ".html"),
        (("001.jpg", "--words", "none.yaml"), "none.yaml"),
    ],
)
def test_what_similar_refuses(
    words: tuple[str, ...], said: str, indexed: Path, photos: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    result = invoke("similar", *words, "--index", indexed)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_names_that_are_not_utf8_are_given_as_they_are_on_disk(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe.jpg")
    for number, name in enumerate([odd, "b.jpg", r"\xff.jpg", "new\nline.jpg"]):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number).rename(tmp_path / "photos" / name)
    index = make_index(tmp_path / "photos", tiny_bundle, tmp_path)
    command = [sys.executable, "-m", "aaam_pipeline", "similar", "photos/b.jpg", "--index", str(index), "-q"]

    def run(*words: str) -> bytes:
        done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    there = {os.fsencode(tmp_path / "photos" / name) for name in (odd, r"\xff.jpg", "new\nline.jpg")}
    assert set(run("-0").split(b"\0")[:-1]) == there
    assert sorted(run("--paths")) == sorted(b"".join(path + b"\n" for path in there))
    assert {json.loads(line)["path"] for line in run("--json").splitlines()} == {
        r"\xff\xfe.jpg",
        r"\x5cxff.jpg",
        "new\nline.jpg",
    }
    lines = run("--copy-to", "best").decode().splitlines()
    assert len(lines) == 3
    assert any(r"new\x0aline.jpg" in line for line in lines)
    copied = {os.fsencode(path.name)[5:] for path in (tmp_path / "best").iterdir()}
    assert copied == {path.rpartition(b"/")[2] for path in there}
    run("--html", "p.html")
    assert (tmp_path / "p.html").read_text().count("data:image/jpeg") == 3


@pytest.fixture
def copies(tiny_bundle: Path, tmp_path: Path) -> Path:
    """An index of five photographs, a copy of one and a larger version of another."""
    photos = tmp_path / "photos"
    for number in range(5):
        make_photo(photos / f"{number}.png", number)
    shutil.copy(photos / "1.png", photos / "copy of 1.png")
    Image.open(photos / "2.png").resize((96, 80)).save(photos / "large 2.png")
    return make_index(photos, tiny_bundle, tmp_path)


def test_dedup_without_duplicates_says_so(indexed: Path, invoke: Invoke) -> None:
    for option in ((), ("--json",), ("--paths",), ("-0",)):
        result = invoke("dedup", "--index", indexed, "--similarity", "1", *option)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "0 of 24 images duplicate another, in 0 groups\n"


def test_dedup_as_json_is_an_object_a_group_and_nothing_else(copies: Path, invoke: Invoke) -> None:
    result = invoke("dedup", "--index", copies, "--json", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    groups = [json.loads(line)["images"] for line in result.stdout.splitlines()]
    assert [[image["path"] for image in images] for images in groups] == [
        ["1.png", "copy of 1.png"],
        ["large 2.png", "2.png"],
    ]
    assert [[image["identical"] for image in images] for images in groups] == [[False, True], [False, False]]
    assert [images[0]["score"] for images in groups] == [1, 1]
    assert all(0.765 <= image["score"] <= 1 for images in groups for image in images)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--similarity", "0"), "above 0"),
        (("--similarity", "-1"), "above 0"),
        (("--similarity", "1.01"), "at most 1"),
        (("--similarity", "nan"), "at most 1"),
        (("--similarity", "inf"), "at most 1"),
        (("--similarity", "much"), "--similarity"),
        (("--json", "--paths"), "--json and --paths exclude each other"),
        (("--json", "-0"), "--json and --print0 exclude each other"),
        (("--near",), "--near is for --paths and -0"),
        (("--near", "--json"), "--near is for --paths and -0"),
        (("photo.jpg",), "unexpected extra argument"),
        (("--csv",), "No such option"),
    ],
)
def test_what_dedup_refuses(words: tuple[str, ...], said: str, indexed: Path, invoke: Invoke) -> None:
    result = invoke("dedup", "--index", indexed, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_dedup_of_what_is_no_index(photos: Path, invoke: Invoke) -> None:
    assert invoke("dedup").exit_code == 2
    result = invoke("dedup", "--index", photos)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
