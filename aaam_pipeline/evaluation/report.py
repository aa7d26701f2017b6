"""The report (stage `report`): the paper's tables with our numbers beside them, and what lies behind the numbers.

    OUT/DATASET/report.md         the same as text, its charts beside it as calibration.svg and cooccurrence.svg
    PAGE                          one HTML page about all data sets, that needs no other file

Methods are known by their scores files alone, ours and those of others alike. Equal inputs give equal bytes.
"""

from collections.abc import Sequence
from pathlib import Path

from aaam_pipeline.core.artifacts import write_bytes
from aaam_pipeline.evaluation import paper_tables, sections
from aaam_pipeline.evaluation.document import Section, chart_files, render_html, render_markdown
from aaam_pipeline.evaluation.inputs import Inputs
from aaam_pipeline.evaluation.paper import paper

NOT_RUN = "not run, no scores of it in this report"
INTRODUCTION = (
    "The numbers that the paper prints are in its layout, with ours beside them and the difference in percentage "
    "points. All are of the test split."
)


def write(reports: Sequence[Inputs], out: Path, html: Path) -> list[Path]:
    """Write the reports of data sets into `out`, and the page about all of them; return the files to be read."""
    written = []
    for report in reports:
        folder, chapter = out / report.name, _chapter(report)
        first = Section("", "", [paper_tables.table_1([report], {})])
        text = render_markdown(f"Results on {report.title}", INTRODUCTION, [first, *chapter])
        write_bytes(folder / "report.md", text.encode())
        for name, svg in chart_files(chapter).items():
            write_bytes(folder / name, svg.encode())
        written.append(folder / "report.md")
    write_bytes(html, _page(reports).encode())
    return [*written, html]


def _page(reports: Sequence[Inputs]) -> str:
    names = ", ".join(report.title for report in reports)
    here = {report.title for report in reports}
    elsewhere = {name: NOT_RUN for name, printed in paper().datasets.items() if printed.title not in here}
    chapters: list[tuple[str, str, Sequence[Section]]] = [
        ("datasets", "Data sets", [Section("", "", [paper_tables.table_1(reports, elsewhere)])])
    ]
    chapters += [(f"dataset-{report.name}", report.title, _chapter(report)) for report in reports]
    if elsewhere:
        tables = [paper_tables.not_run(name, why) for name, why in elsewhere.items()]
        text = "What the paper prints about data sets that this report has no scores of."
        chapters.append(("elsewhere", "Not run", [Section("The paper's tables", text, [*tables], folded=True)]))
    return render_html(f"Results on {names}", INTRODUCTION, chapters)


def _chapter(report: Inputs) -> list[Section]:
    return [
        Section("", "", [paper_tables.results(report)]),
        sections.overview(report),
        sections.labels(report),
        sections.calibration(report),
        sections.cooccurrence(report),
        sections.queries(report),
    ]
