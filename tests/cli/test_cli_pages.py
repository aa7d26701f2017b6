"""Pages of hits, and hits whose files are gone, in every output."""

import csv
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Invoke, make_photo
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Hit

COUNT = 60
# of the first images by path, one of three is gone, one is in a tar, one is behind a URL
GONE = range(1, 40, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of made-up images, most of which are there: all scores are equal, so that their paths decide."""
    place = tmp_path_factory.mktemp("pages")
    paths = [f"{number:03d}.jpg" for number in range(COUNT)]
    roots = [str(place / "photos")] * COUNT
    for number in range(COUNT):
        if number not in GONE:
            make_photo(place / "photos" / paths[number], number)
    with tarfile.open(place / "photos" / "005.tar", "w") as tar:
        tar.add(place / "photos" / "005.jpg", "text.jpg")
    paths[5], paths[6], roots[8] = "005.tar/text.jpg", "006.tar/text.jpg", "s3://bucket"
    # a link that leads nowhere, and a path that goes through a file
    (place / "photos" / "001.jpg").symlink_to("nowhere")
    scores_NL = np.full((COUNT, len(LABELS)), 0.8, np.float16)
    embedding_ND = np.ones((COUNT, DIM), np.float16)
    build(
        write_annotations(place / "annotations", scores_NL, embedding_ND, path=paths, root=roots),
        place / "index",
        NullReporter(),
    )
    return place


EXISTS = [False if number in (*GONE, 6) else None if number == 8 else True for number in range(COUNT)]


@pytest.mark.parametrize("existing", [False, True])
def test_pages_continue_each_other(existing: bool, folder: Path) -> None:
    with search.open(folder / "index") as index:
        asks = [
            lambda **page: index.query("grass sky", existing=existing, **page),
            lambda **page: index.explain("grass|boat", existing=existing, **page),
            lambda **page: index.similar(np.ones(DIM), existing=existing, **page),
            lambda **page: index.similar(np.ones(DIM), query="grass", existing=existing, **page),
        ]  # fmt: skip
        for ask in asks:
            everything: list[Any] = ask(top=1000)
            hits: list[Hit] = [getattr(each, "hit", each) for each in everything]
            assert [hit.exists for hit in hits] == [there for there in EXISTS if not existing or there is not False]
            for top in (1, 7, 20):
                pages = [ask(top=top, offset=offset) for offset in range(0, COUNT + top, top)]
                assert [each for page in pages for each in page] == everything
                assert all(len(page) == top for page in pages[: len(everything) // top])
            assert ask(top=5, offset=COUNT) == []
        for offset in (-1, 2**31):
            with pytest.raises(UsageError, match="offset must be"):
                index.query("grass", offset=offset)


def test_no_more_files_are_looked_at_than_are_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    exists = Hit.exists.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Hit, "exists", property(lambda hit: looked.append(hit.path) or exists(hit)))
    with search.open(folder / "index") as index:
        index.query("grass", 50)
        assert looked == []
        assert len(index.query("grass", 5, existing=True)) == 5
        # 0, 2, 3, 5 and 8 are there, or may be
        assert looked[-1] == "008.jpg"


COMMANDS = [["search", "grass"], ["similar", "000.jpg", "--query", "grass"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_gone_hits_are_marked_in_every_output(
    command: list[str], folder: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*options: object) -> str:
        result = invoke(*command, "--index", folder / "index", "--top", 8, *options)
        assert result.exit_code == 0, result.stderr
        errors.append(result.stderr)
        return result.stdout

    errors: list[str] = []
    monkeypatch.chdir(folder / "photos")
    # of similar, the photograph itself is no hit
    first = 1 if command[0] == "similar" else 0
    shown = EXISTS[first : first + 8]
    lines = [json.loads(line) for line in run("--json").splitlines()]
    assert [line["exists"] for line in lines] == shown
    assert [line["rank"] for line in lines] == list(range(1, 9))
    assert [line.split("\t")[3:] == ["gone"] for line in run().splitlines()] == [each is False for each in shown]
    found = [row["exists"] for row in csv.DictReader(io.StringIO(run("--csv")))]
    assert found == [{True: "true", False: "false", None: ""}[each] for each in shown]
    there = [each for each in shown if each is not False]
    gone = f"{8 - len(there)} of 8 images are gone and left out; --existing shows others\n"
    for option, end in (("--paths", "\n"), ("-0", "\0")):
        paths = run(option).split(end)[:-1]
        assert errors[-1] == gone
        assert len(paths) == len(there)
        assert all(path.startswith("s3://") or ".tar/" in path or os.path.exists(path) for path in paths)  # noqa: PTH110
    run("--html", folder / "page.html")
    assert (folder / "page.html").read_text().count("not there any more") == 8 - len(there)
    paths = run("--paths", "--existing").splitlines()
    assert (len(paths), errors[-1]) == (8, "")
    lines = [json.loads(line) for line in run("--json", "--existing", "--offset", "3").splitlines()]
    assert [line["rank"] for line in lines] == list(range(4, 12))
    assert [f"{line['root']}/{line['path']}" for line in lines][:5] == paths[3:]


def test_explanations_are_marked_and_numbered(folder: Path, invoke: Invoke) -> None:
    search = ("search", "grass sky", "--index", folder / "index", "--explain", "--top", "2", "--offset", "1", "-q")
    lines = [json.loads(line) for line in invoke(*search, "--json").stdout.splitlines()]
    assert [(line["rank"], line["exists"], len(line["terms"])) for line in lines] == [(2, False, 2), (3, True, 2)]
    assert [line.split("\t")[5:] for line in invoke(*search).stdout.splitlines()] == [["gone"], ["gone"], [], []]


def test_copies_are_named_by_the_ranks_of_all_pages(folder: Path, tmp_path: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", folder / "index", "-t", 2, "--offset", 2, "--copy-to", "c", "-q")
    assert result.exit_code == 0
    assert sorted(file.name for file in (tmp_path / "c").iterdir()) == ["0003_002.jpg", "0004_003.jpg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--offset", "60"], "at most 60 images fit this query"),
        (["--offset", "60", "--existing"], "at most 60 images fit this query and are there"),
    ],
)
def test_a_page_behind_the_last_says_so(options: list[str], said: str, folder: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", folder / "index", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", said + "\n")


def test_a_folder_is_no_photograph(folder: Path, invoke: Invoke) -> None:
    result = invoke("similar", folder / "photos", "--index", folder / "index")
    assert result.exit_code == 2
    assert result.stderr == f"error: {folder}/photos is a folder; name photographs, such as {folder}/photos/*.jpg\n"


@pytest.mark.parametrize(("text", "labels"), [("GR", ["grass"]), ("ö", ["person", "boat"]), ("x", [])])
def test_labels_that_hold_a_text_are_listed(text: str, labels: list[str], folder: Path, invoke: Invoke) -> None:
    result = invoke("labels", text, "--index", folder / "index", "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["label"] for line in result.stdout.splitlines()] == labels
