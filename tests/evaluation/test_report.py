"""Reports as they are written: the page, the text, and what is said where there is nothing to report."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import Invoke
from evaluation.projects import make_ablation, make_prepared, read, write

from aaam_pipeline.evaluation import report
from aaam_pipeline.evaluation.sections import labels


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three phases of `scenes`, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "scenes", bce=1, joint=1.5, hard=2)
    return tmp_path


def test_one_method_alone_is_compared_with_nothing(project: Path) -> None:
    write(project, "mine", only=1)
    alone = read("mine")
    assert alone.ours is alone.baseline
    assert [item.title for item in labels(alone).items] == ["The hardest labels: lowest AP of only", "Every label"]
    report.write([alone], project / "out", project / "out" / "report.html")


class Reader(HTMLParser):
    """Checks that tags are closed in order, and notes what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("path", "circle", "rect")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_needs_no_other_file_and_escapes_everything(project: Path, invoke: Invoke) -> None:
    make_prepared(project, "scenes")
    make_ablation(project, "scenes", "<b>x</b>,1,test,0.1,0.2,0.3,0.4,5\n")
    write(project, "nuswide", bce=1)
    done = invoke("report")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["reports/nuswide/report.md", "reports/scenes/report.md", "reports/report.html"]
    page = (project / "reports/report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    anchors = set(re.findall(r' id="([^"]+)"', page))
    assert {reference.removeprefix("#") for reference in reader.references} <= anchors
    assert "<sea>" not in page
    assert "&lt;sea&gt;" in page
    assert "<b>" not in page
    assert "default-src 'none'" in html.unescape(page)
    for title in ("Table 1.", "Table 2.", "Table 3.", "Table 4."):
        assert title in page
    assert page.count("<script") == 1


def test_the_text_is_a_table_in_columns_with_its_charts_beside(project: Path, invoke: Invoke) -> None:
    make_prepared(project, "scenes")
    assert invoke("report", "scenes", "--out", "out", "--html", "page.html").exit_code == 0
    assert (project / "page.html").is_file()
    text = (project / "out/scenes/report.md").read_text()
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        svg = (project / "out/scenes" / name).read_text()
        assert svg.startswith("<svg xmlns=")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 7
    for table in tables:
        lines = table.splitlines()
        assert len({len(line) for line in lines}) == 1, "the columns of plain text are aligned"
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"a\_b\|c" in text
    assert r"\<sea\>" in text


def test_equal_inputs_give_equal_bytes(project: Path) -> None:
    make_prepared(project, "scenes")
    for name in ("one", "other"):
        report.write([read()], project / name, project / name / "report.html")
    files = [path.relative_to(project / "one") for path in (project / "one").rglob("*") if path.is_file()]
    assert len(files) == 4
    for file in files:
        assert (project / "one" / file).read_bytes() == (project / "other" / file).read_bytes()


def test_a_report_on_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("report")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "no scores below scores" in done.stderr
    write(tmp_path, "scenes", bce=1)
    Path("file").touch()
    for option, said in (("--params", "no file nowhere"), ("--out", "is a file, not a folder")):
        done = invoke("report", option, "nowhere" if option == "--params" else "file")
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
    done = invoke("report", "seens")
    assert done.exit_code == 2
    assert "no scores of seens" in done.stderr
    assert "known: scenes" in done.stderr
    (tmp_path / "params.yaml").write_text("a: [")
    assert invoke("report").exit_code == 2
