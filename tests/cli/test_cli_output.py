"""How hits come out: CSV, NUL-ended paths, folders of copies or links, contact sheets, thumbnails in the terminal."""

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import Invoke, make_photo
from PIL import Image

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.cli import contact_sheet, preview
from aaam_pipeline.cli.preview import GraphicsProtocol
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Hit


@pytest.fixture
def gone(tiny_bundle: Path, tmp_path: Path) -> Path:
    """An index of four photographs, of which one was deleted since and one was replaced by a text; hostile names."""
    for number, name in enumerate(
        ['a, "b".jpg', "<script>alert(1)</script>.jpg".replace("/", "\u2215"), "c.jpg", "d.jpg"]
    ):
        make_photo(tmp_path / "photos" / name, number)
    runner.annotate(inputs.find([tmp_path / "photos"]), tiny_bundle, tmp_path / "ann", runner.Options(), NullReporter())
    build(tmp_path / "ann", tmp_path / "index", NullReporter())
    (tmp_path / "photos" / "c.jpg").unlink()
    (tmp_path / "photos" / "d.jpg").write_text("no photograph")
    return tmp_path / "index"


def objects(invoke: Invoke, index: Path, *words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in invoke("search", *words, "--index", index, "--json").stdout.splitlines()]


def test_csv_has_a_column_for_each_label_of_the_query(gone: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass dog", "--index", gone, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    hits = objects(invoke, gone, "grass dog")
    assert result.exit_code == 0
    assert len(rows) == 4
    for row, hit in zip(rows, hits, strict=True):
        assert (row["path"], row["root"]) == (hit["path"], hit["root"])
        assert row["location"] == f"{hit['root']}/{hit['path']}"
        assert float(row["score"]) == hit["score"]
        assert {label: float(row[f"score:{label}"]) for label in ("grass", "dog")} == hit["label_scores"]
        assert row["labels"].split(";") == (hit["labels"] or [""])


def test_csv_without_hits_is_a_header(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass width>9999", "--index", indexed, "--csv", "-q")
    assert result.stdout.splitlines() == ["score,path,root,location,labels,exists,unfamiliar,score:grass"]


@pytest.mark.parametrize("option", ["-0", "--print0"])
def test_paths_ended_by_nul(option: str, gone: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", gone, option)
    assert result.stdout.split("\0")[:-1] == invoke("search", "grass", "--index", gone, "--paths").stdout.splitlines()
    assert result.stdout.endswith("\0")
    assert result.stdout == invoke("search", "grass", "--index", gone, "--paths", "-0").stdout


def test_copies_are_named_by_rank(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("search", "grass", "--index", indexed, "--top", "5", "--copy-to", "best", "--json")
    assert result.stderr == "5 images copied to best\n"
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    files = sorted((tmp_path / "best").iterdir())
    assert [file.name for file in files] == [f"{rank:04d}_{Path(hit['path']).name}" for rank, hit in enumerate(hits, 1)]
    for file, hit in zip(files, hits, strict=True):
        assert file.read_bytes() == Path(hit["root"], hit["path"]).read_bytes()
        assert not file.is_symlink()


def test_links_lead_to_the_photographs(indexed: Path, photos: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("similar", "--index", indexed, "--link-to", "best", "--paths", "--top", "4", photos / "001.jpg")
    assert result.exit_code == 0, result.output
    assert [str(file.readlink()) for file in sorted((tmp_path / "best").iterdir())] == result.stdout.splitlines()


@pytest.mark.parametrize("option", ["--copy-to", "--link-to"])
def test_what_cannot_be_copied_is_said_and_the_rest_is_there(
    option: str, gone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke("search", "grass", "--index", gone, option, "best", "--paths")
    assert result.exit_code == 1
    said, left_out = result.stderr.splitlines()
    assert re.fullmatch(r"error: 1 of 4 images was not (copied|linked): 1 not there any more", said)
    assert left_out == "1 of 4 images is gone and left out; --existing shows others"
    assert len(result.stdout.splitlines()) == 3
    assert len(list((tmp_path / "best").iterdir())) == 3


def test_nothing_is_ever_overwritten(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for option in ("--copy-to", "--link-to"):
        for path in ("full", "file"):
            result = invoke("search", "grass", "--index", indexed, option, path)
            assert result.exit_code == 2
            assert result.stdout == ""
    result = invoke("search", "grass", "--index", indexed, "--html", "photo.jpg")
    assert (result.exit_code, result.stderr) == (2, "error: --html photo.jpg: name a file that ends in .html\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--json", "--paths"),
        ("--json", "--csv"),
        ("--csv", "-0"),
        ("--csv", "--explain"),
        ("--paths", "--explain"),
        ("--preview", "--json"),
        ("--preview", "--explain"),
        ("--copy-to", "one", "--link-to", "two"),
    ],
)
def test_options_that_exclude_each_other(options: tuple[str, ...], indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", indexed, *options)
    assert result.exit_code == 2
    assert re.fullmatch(r"error: --[\w-]+ and --[\w-]+ exclude each other\n", result.stderr)


def test_a_contact_sheet_holds_its_pictures_and_runs_nothing(gone: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("search", "grass|dog <x", "--index", gone, "--html", "page.html")
    assert result.exit_code == 2
    result = invoke("search", "grass|dog", "--index", gone, "--html", "page.html")
    assert (result.exit_code, result.stderr) == (0, "wrote page.html\n")
    page = (tmp_path / "page.html").read_text()
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) == 2
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert max(image.size) <= contact_sheet.PIXELS
    assert "not there any more" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:|file:)', page)
    assert "<h1>grass|dog</h1>" in page


def test_a_contact_sheet_of_nothing(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("search", "grass width>9999", "--index", indexed, "--html", "page.html").exit_code == 0
    assert "0 images" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, GraphicsProtocol.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, GraphicsProtocol.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, GraphicsProtocol.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, GraphicsProtocol.ITERM),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1", "TMUX": "x"}, GraphicsProtocol.BLOCKS_256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, GraphicsProtocol.BLOCKS),
        ({"TERM": "xterm-256color"}, GraphicsProtocol.BLOCKS_256),
        ({"TERM": "dumb"}, "this terminal shows neither pictures nor 256 colours"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "NO_COLOR is set"),
    ],
)
def test_the_protocol_of_a_terminal(environment: dict[str, str], expected: object) -> None:
    assert preview.chosen(True, environment) == expected
    assert preview.chosen(False, environment) == "stdout is no terminal"


def test_pictures_in_each_protocol(tmp_path: Path) -> None:
    hit = Hit("photo.png", str(tmp_path), 1.0, [], {})
    Image.effect_noise((400, 200), 90).convert("RGB").save(hit.file)
    kitty = preview.picture(hit, GraphicsProtocol.KITTY)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty)
    assert pieces[0][0].startswith("a=T,f=100,")
    assert [options[-1] for options, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    iterm = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);[^:]*:(.*)\a", preview.picture(hit, GraphicsProtocol.ITERM)
    )
    assert iterm
    shown = [base64.b64decode("".join(data for _, data in pieces)), base64.b64decode(iterm[2])]
    assert len(shown[1]) == int(iterm[1])
    for content in shown:
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (320, 160)
    for protocol in (GraphicsProtocol.BLOCKS, GraphicsProtocol.BLOCKS_256):
        lines = preview.picture(hit, protocol).split("\n")
        assert len(lines) == 10
        assert {line.count("▀") for line in lines} == {40}
    hit.file.unlink()
    assert preview.picture(hit, GraphicsProtocol.KITTY) == "[not there any more]"


def test_blocks_have_the_colours_of_the_picture(tmp_path: Path) -> None:
    hit = Hit("photo.png", str(tmp_path), 1.0, [], {})
    image = Image.new("RGB", (40, 24), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 40, 12))
    image.save(hit.file)
    lines = preview.picture(hit, GraphicsProtocol.BLOCKS).split("\n")
    assert lines[0] == "\x1b[38;2;255;0;0;48;2;255;0;0m▀" * 40 + "\x1b[0m"
    assert lines[-1] == "\x1b[38;2;0;0;255;48;2;0;0;255m▀" * 40 + "\x1b[0m"
    assert "38;5;196;" in preview.picture(hit, GraphicsProtocol.BLOCKS_256)


def test_a_preview_that_cannot_be_is_a_list(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", indexed, "--preview")
    assert result.stderr == "no preview: stdout is no terminal\n"
    assert result.stdout == invoke("search", "grass", "--index", indexed).stdout


def test_similar_takes_several_others_and_words(indexed: Path, photos: Path, invoke: Invoke, tmp_path: Path) -> None:
    one, other = photos / "001.jpg", photos / "002.jpg"
    shutil.copy(one, tmp_path / "copy.jpg")
    result = invoke(
        "similar", one, "copy.jpg", "--not", other, "--query", "lawn puppy", "--index", indexed, "--csv", "--top", "3"
    )
    assert result.exit_code == 0, result.output
    assert "lawn is searched as grass" in result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert len(rows) == 3
    assert {"score:grass", "score:dog"} <= set(rows[0])
    assert not {row["path"] for row in rows} & {"001.jpg", "002.jpg"}
    result = invoke("similar", one, "--query", "zebra", "--index", indexed)
    assert result.exit_code == 2
    assert invoke("similar", one, "--not", "gone.jpg", "--index", indexed).exit_code == 2


def test_dedup_groups_copies_and_deletes_nothing(tiny_bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(5):
        make_photo(photos / f"{number}.png", number)
    shutil.copy(photos / "1.png", photos / "copy of 1.png")
    Image.open(photos / "2.png").resize((96, 80)).save(photos / "large 2.png")
    runner.annotate(inputs.find([photos]), tiny_bundle, tmp_path / "ann", runner.Options(), NullReporter())
    build(tmp_path / "ann", tmp_path / "index", NullReporter())
    result = invoke("dedup")
    assert result.exit_code == 0, result.output
    assert "2 of 7 images duplicate another, in 2 groups; 1 byte for byte" in result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "1", "2", "2"]
    assert [line[2] for line in lines] == ["first", "identical", "first", "near"]
    assert lines[2][3].endswith("large 2.png")
    groups = [json.loads(line)["images"] for line in invoke("dedup", "--json").stdout.splitlines()]
    assert [[image["path"] for image in images] for images in groups] == [
        ["1.png", "copy of 1.png"],
        ["large 2.png", "2.png"],
    ]
    copy, near = str(photos / "copy of 1.png"), str(photos / "2.png")
    assert invoke("dedup", "--paths").stdout.splitlines() == [copy]
    assert invoke("dedup", "-0").stdout == f"{copy}\0"
    assert invoke("dedup", "--paths", "--near").stdout.splitlines() == [copy, near]
    assert invoke("dedup", "--paths", "--near", "--similarity", "1").stdout.splitlines() == [copy]
    assert len(list(photos.iterdir())) == 7
    for wrong in ("0", "1.5", "nan", "x"):
        assert invoke("dedup", "--similarity", wrong).exit_code == 2
    assert invoke("dedup", "--near").exit_code == 2
    assert invoke("dedup", "--json", "--paths").exit_code == 2
