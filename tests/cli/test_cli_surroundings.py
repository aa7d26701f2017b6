"""Streams that are closed, terminals of few characters, locales of other encodings: nothing crashes or is lost."""

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Invoke, make_bundle, make_photo

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.cli import contact_sheet
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.parts import read_annotations_manifest
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Hit
from aaam_pipeline.search import open as open_index

pytestmark = pytest.mark.slow

COMMAND = shlex.join([sys.executable, "-m", "aaam_pipeline"])
BIDI = "a\u202egpj.jpg"
NAMES = [b"\xe4.jpg", "Köln.jpg".encode(), rb"x\xff.jpg", b"x\xff.jpg", BIDI.encode(), b"=1+1.jpg", b"-dog.jpg"]
LABELS = ["=cmd", "Öl", "日本", "grass", "d\u202eog"]
LATIN_1 = {"PYTHONIOENCODING": "latin-1"}
ASCII = {"PYTHONIOENCODING": "ascii"}
# Python's own way out of LC_ALL=C is closed: names of files are ASCII to it
FOREIGN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

Shell = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Süd")
    model = make_bundle(folder / "model", LABELS)
    for number, name in enumerate(NAMES):
        make_photo(folder / "photos" / os.fsdecode(name), number)
    runner.annotate(inputs.find([folder / "photos"]), model, folder / "annotations", runner.Options(), NullReporter())
    build(folder / "annotations", folder / "index", NullReporter())
    return folder


@pytest.fixture
def shell(project: Path) -> Shell:
    def run(words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AAAM", "PYTHONIO"))} | more
        return subprocess.run(f"{COMMAND} {words}", cwd=project, env=env, shell=True, capture_output=True, timeout=120)

    return run


def test_every_name_has_a_row_of_its_own(project: Path) -> None:
    with open_index(project / "index") as index:
        paths = [hit.path for hit in index.query("width>1")]
        files = {os.fsencode(hit.file.name) for hit in index.query("width>1")}
    assert len(set(paths)) == len(NAMES)
    assert files == set(NAMES)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("search grass", 0), ("search grass -0 -q", 0), ("search zebra", 2)])
def test_closed_streams_are_no_error(words: str, code: int, closed: str, shell: Shell) -> None:
    done = shell(f"{words} {closed}")
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
    if closed == ">&-":
        assert bool(done.stderr) == (code > 0 or words == "search grass")


def test_what_libraries_print_never_ends_in_a_file_that_is_written(project: Path, shell: Shell) -> None:
    done = shell("annotate photos --model model --backend torch --num-workers 1 --out closed <&- >&- 2>&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_annotations_manifest(project / "closed").successes == len(NAMES)
    assert shell("verify closed -q").returncode == 0


@pytest.mark.parametrize(
    ("terminal", "words"),
    [
        *(
            (terminal, words)
            for terminal in (ASCII, FOREIGN)
            for words in ("search grass --json", "search Öl --explain")
        ),
        *((ASCII, words) for words in ("labels", "search grass --csv", "search zebra")),
        (LATIN_1, "search grass"),
        ({"LC_ALL": "C"}, "search grass"),
    ],
)
def test_a_terminal_that_lacks_characters_shows_escapes(terminal: dict[str, str], words: str, shell: Shell) -> None:
    done = shell(words, **terminal)
    assert done.returncode == (2 if words == "search zebra" else 0), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr
    if words.endswith("--json"):
        encoding = terminal.get("PYTHONIOENCODING", "utf8")
        found = {json.loads(line)["path"] for line in done.stdout.decode(encoding).splitlines()}
        assert {"Köln.jpg", BIDI} <= found


def test_paths_are_the_bytes_on_disk_in_every_locale(shell: Shell) -> None:
    for terminal in (ASCII, FOREIGN, {}):
        lines = shell("search 'width>1' -0", **terminal).stdout.split(b"\0")[:-1]
        assert {line.rpartition(b"/")[2] for line in lines} == set(NAMES)


def test_another_locale_finds_the_same_rows(project: Path, shell: Shell) -> None:
    words = "annotate photos --model model --backend torch --num-workers 1 --out"
    assert shell(f"{words} 'Wände'", **FOREIGN).returncode == 0
    made = (project / "Wände" / "part-00000.parquet").stat()
    for terminal in ({}, FOREIGN):
        done = shell(f"{words} 'Wände'", **terminal)
        assert b"nothing to do" in done.stderr
        assert (project / "Wände" / "part-00000.parquet").stat() == made
    assert shell("similar photos/Köln.jpg --top 1", **FOREIGN).returncode == 0
    found = shell("search 'path:Köln*' --json", **FOREIGN).stdout
    assert json.loads(found)["path"] == "Köln.jpg"


def test_a_folder_whose_name_is_not_utf_8_is_refused_as_an_output(shell: Shell) -> None:
    for words in ("annotate photos --model model --backend torch", "index annotations"):
        done = shell(f"{words} --out $(printf 'o\\377')")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == rb"error: o\xff: no name in UTF-8; choose another --out"


def test_names_and_labels_that_a_spreadsheet_would_run_are_text(project: Path, invoke: Invoke) -> None:
    text = invoke("search", "width>1", "--index", project / "index", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {"'=1+1.jpg", "'-dog.jpg"} <= {row["path"] for row in rows}
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell]


def test_names_that_turn_the_text_are_shown_as_they_are_spelt(project: Path, invoke: Invoke, tmp_path: Path) -> None:
    words = ("search", "width>1", "--index", project / "index")
    shown = invoke(*words, "--html", tmp_path / "sheet.html").stdout
    for text in (shown, (tmp_path / "sheet.html").read_text(encoding="utf8"), invoke("labels", *words[2:]).stdout):
        assert "\u202e" not in text
        assert "\\u202e" in text
    # data stay what they are
    assert any(json.loads(line)["path"] == BIDI for line in invoke(*words, "--json").stdout.splitlines())
    assert BIDI in invoke(*words, "--csv").stdout


def test_the_address_of_an_image_of_the_web_turns_no_text() -> None:
    hit = Hit(BIDI, "https://photos.example/a?b=%20&c", 1.0, [], {})
    assert contact_sheet._address(hit) == "https://photos.example/a?b=%20&c/a%E2%80%AEgpj.jpg"
