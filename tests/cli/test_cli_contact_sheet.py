"""What a contact sheet says of its pictures: unfamiliar ones, from where hits are unlikely, groups of copies."""

import json
import re
import shutil
from pathlib import Path

import pytest
from cli.hits import hit
from conftest import Invoke, make_photo

from aaam_pipeline import search
from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.cli import contact_sheet, dedup
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build
from aaam_pipeline.search.duplicates import find_duplicates


def test_unfamiliar_pictures_are_marked(tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / f"{number}.jpg", number) for number in range(3)]
    hits = [hit(photo)._replace(unfamiliar=known) for photo, known in zip(photos, (True, False, None), strict=True)]
    contact_sheet.write(hits, "title", tmp_path / "page.html")
    figures = (tmp_path / "page.html").read_text().split("<figure>")[1:]
    assert ['<span class="mark">unfamiliar</span>' in figure for figure in figures] == [True, False, False]


def scores(page: str) -> tuple[list[float], list[float]]:
    """The scores before and after the line from which on hits are less likely."""
    before, _, after = page.partition("<h2>less likely from here on")
    return tuple([float(each) for each in re.findall(r"<b>([\d.]+)</b>", part)] for part in (before, after))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("query", "likely"),
    [("grass", 0.5), ("grass dog", 0.25), ("grass|dog", 0.5), ("-grass", 0.5), ("grass width>1", 0.5)],
)
def test_a_line_stands_where_hits_become_unlikely(
    query: str, likely: float, indexed: Path, invoke: Invoke, tmp_path: Path
) -> None:
    assert invoke("search", query, "--index", indexed, "--top", "24", "--html", "page.html").exit_code == 0
    before, after = scores((tmp_path / "page.html").read_text())
    assert before
    assert after
    assert min(before) >= likely > max(after)


def test_a_page_of_likely_hits_alone_has_no_line(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    invoke("search", "grass", "--index", indexed, "--min-score", "0.5", "--html", "page.html")
    assert "<h2>" not in (tmp_path / "page.html").read_text()


def test_a_least_score_leaves_out_the_others(indexed: Path, invoke: Invoke) -> None:
    def found(*options: str) -> list[dict[str, object]]:
        result = invoke("search", "grass", "--index", indexed, "--json", *options)
        return [json.loads(line) for line in result.stdout.splitlines()]

    everything = found("--top", "24")
    likely = [each for each in everything if each["score"] >= 0.8]
    assert 0 < len(likely) < len(everything)
    assert found("--top", "24", "--min-score", "0.8") == likely
    assert found("--top", "2", "--min-score", "0.8") == likely[:2]
    explained = found("--top", "24", "--min-score", "0.8", "--explain")
    assert [each["path"] for each in explained] == [each["path"] for each in likely]


def test_a_least_score_that_none_has_is_said_with_the_best(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass dog football", "--index", indexed, "--min-score", "1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.search(r"no image has a score of 1: the best here has 0\.\d", result.stderr)
    assert invoke("search", "grass", "--index", indexed, "--min-score", "2").exit_code == 2


@pytest.fixture
def copies(tiny_bundle: Path, tmp_path: Path) -> Path:
    """An index of five photographs: two copies, and one that was saved again in a smaller size."""
    make_photo(tmp_path / "photos" / "b.jpg", 1)
    make_photo(tmp_path / "photos" / "other.jpg", 2)
    shutil.copyfile(make_photo(tmp_path / "photos" / "a.jpg", 4, (200, 160)), tmp_path / "photos" / "c.jpg")
    make_photo(tmp_path / "photos" / "small.jpg", 4, (120, 96))
    runner.annotate(inputs.find([tmp_path / "photos"]), tiny_bundle, tmp_path / "ann", runner.Options(), NullReporter())
    build(tmp_path / "ann", tmp_path / "index", NullReporter())
    return tmp_path / "index"


def test_groups_of_copies_are_a_page(copies: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("dedup", "--index", copies, "--html", "page.html")
    assert "wrote page.html\n" in result.stderr
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r"<h2>(.*)</h2>", page) == ["group 1: 3 images"]
    assert page.count("<img ") == 3
    assert re.findall(r"</b> (\w+)", page) == ["first", "identical", "near"]
    assert "<script" not in page


def test_a_page_of_copies_has_an_end(copies: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "SHOWN", 7)
    with search.open(copies) as index:
        (group,) = find_duplicates(index, NullReporter()).groups
        (said,) = dedup._write_page([group] * 5, Path("page.html"), index)
    assert said == "wrote page.html with the first 2 groups; 3 more are not on it"
    page = Path("page.html").read_text()
    assert (page.count("<h2>"), page.count("<img ")) == (2, 6)


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["--near", "-0"], True),
        (["--near", "-0", "--similarity", "0.8"], False),
        (["--similarity", "0.7"], True),
        (["--similarity", "0.9"], False),
        (["-0"], False),
        ([], False),
    ],
)
def test_what_is_less_than_sure_is_said(words: list[str], warned: bool, copies: Path, invoke: Invoke) -> None:
    result = invoke("dedup", "--index", copies, *words)
    assert result.exit_code == 0
    assert ("below 0.8, other pictures are in a group at times" in result.stderr) == warned
