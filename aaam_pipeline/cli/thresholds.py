"""`aaam-pipe thresholds`: a threshold for each word that keeps a promise about precision on this library."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.counts import Interval
    from aaam_pipeline.curation.judging import JudgingSession
    from aaam_pipeline.curation.label_thresholds import LabelThreshold
    from aaam_pipeline.formats.parts import AnnotationsManifest

Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels", "-l", help="Words, with commas between them. Repeatable. Default: those of most photographs."
    ),
]
# answers that a word takes, about; so many words are taken where none is named
A_WORD = 100


def thresholds(
    annotations: Annotated[Path, typer.Argument(help="Folder of annotations.")] = HERE.annotations,
    precision: Annotated[float, typer.Option(help="Share of the assigned photographs that show the word.")] = 0.95,
    recall: Annotated[
        float | None, typer.Option(help="Name words of which a smaller share of the photographs is found.")
    ] = None,
    labels: Labels = None,
    budget: Annotated[int, typer.Option(min=0, help="Answers to ask for in this run, of all words.")] = 300,
    out: Annotated[
        Path, typer.Option(help="File to write: .json, or .csv; replaced. `relabel --thresholds` reads it.")
    ] = Path("thresholds.json"),
    preview: Annotated[bool, typer.Option("--preview", help="Ask in the terminal, not on a page.")] = False,
    sample: Annotated[Path | None, typer.Option(help="Ask nothing: write the list to judge, a CSV file.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Ask nothing: read this list, its column `shows` filled.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0: a free one.")] = 0,
    decisions: defaults.Decisions = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a word, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Choose thresholds that keep a promise about precision, by showing you a sample of your own photographs.

    Each answer is a decision in the ledger at once. The same command, given again, continues where the last one ended.
    """
    _check(precision, recall, {"--preview": preview, "--sample": sample, "--answers": answers, "--dry-run": dry_run})
    from aaam_pipeline.cli import judgement_lists, judging, judging_page
    from aaam_pipeline.core.locks import exclusive
    from aaam_pipeline.curation.judging import SOURCE, JudgingSession
    from aaam_pipeline.curation.score_pool import ScorePool
    from aaam_pipeline.formats.parts import read_annotations_manifest

    ledger = defaults.decisions(decisions, annotations)
    _check_files(out, sample, ledger)
    manifest = read_annotations_manifest(annotations)
    named = labels or (judgement_lists.labels_of(answers) if answers else [])
    with render.reporter(quiet) as report:
        words = _labels(named, manifest, annotations, max(1, budget // A_WORD), report)
        pool = ScorePool(annotations, words, report)
    with exclusive(out):
        session = JudgingSession(pool, ledger, precision, budget, f"{SOURCE} {render.user()}")
        report = render.PlainReporter(quiet)
        for remark in session.remarks:
            report.info(remark)
        if sample:
            judgement_lists.write(session, sample, report)
            return
        if dry_run:
            judging.announce(session, report)
        elif answers:
            judgement_lists.read(session, answers, report)
        else:
            way = judging.in_terminal if preview else partial(judging_page.serve, port=port)
            judging.ask(session, report, way)
        _finish(session, out, recall, as_json, dry_run, report)


def _check(precision: float, recall: float | None, ways: dict[str, Any]) -> None:
    if not 0 < precision < 1:
        raise UsageError(f"--precision {precision:g}: give a share between 0 and 1, such as 0.95")
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"--recall {recall:g}: give a share between 0 and 1, such as 0.5")
    if len(given := [name for name, value in ways.items() if value]) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other")


def _check_files(out: Path, sample: Path | None, ledger: Path) -> None:
    """Check that a file that is there is one of thresholds, or a list whose answers are decisions; else it stays.

    Raises:
        UsageError: it is another, or cannot be one.
    """
    from aaam_pipeline.cli import judgement_lists
    from aaam_pipeline.formats.threshold_files import read_thresholds

    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: name a file in a folder that is there")
    if out.suffix.lower() not in (".json", ".csv"):
        raise UsageError(f"--out {out}: name a file that ends in .json or .csv")
    if out.exists():
        try:
            read_thresholds(out)
        except UsageError as error:
            raise UsageError(f"--out {out} is not replaced: {error}") from None
    if sample and sample.suffix.lower() != ".csv":
        raise UsageError(f"--sample {sample}: name a file that ends in .csv")
    if sample and sample.exists() and (left := judgement_lists.answers_left(sample, ledger)):
        answers = f"{counted(left, 'answer')} that {'is' if left == 1 else 'are'} no decision"
        raise UsageError(f"--sample {sample} holds {answers} yet, and is not replaced: --answers {sample} takes them")


def _labels(
    named: Sequence[str], manifest: "AnnotationsManifest", folder: Path, most: int, report: "Reporter"
) -> list[str]:
    """Return the words as the vocabulary spells them; where none is named, those of most photographs.

    Raises:
        UsageError, UnknownLabelError: as `asked_labels`.
    """
    from aaam_pipeline.curation.relabelled_parts import label_counts
    from aaam_pipeline.exchange.annotated import asked_labels
    from aaam_pipeline.formats.decision_lines import label_key

    if named:
        known = {label_key(label): label for label in manifest.vocabulary}
        return [known[key] for key in asked_labels(named, known)]
    counts = label_counts(folder, manifest, report)
    chosen = sorted(manifest.vocabulary, key=lambda label: -counts.get(label, 0))[:most]
    report.info(f"words: {', '.join(chosen)}, which most photographs have; --labels names others")
    return chosen


def _finish(
    session: "JudgingSession", out: Path, recall: float | None, as_json: bool, dry_run: bool, report: "Reporter"
) -> None:
    """Write the file, print the table, and say which words are withheld and which are not finished."""
    from aaam_pipeline.formats.threshold_files import write_thresholds

    results = session.results()
    rows = [_row(label, found) for label, found in results.items()]
    known = [row for row in rows if row["status"] != "unfinished"]
    if known and not dry_run:
        facts = {"precision": session.precision, "confidence": 0.95, "model_id": session.pool.manifest.model_id}
        write_thresholds(out, facts, known)
    if as_json:
        for row in rows:
            render.json_line(row)
    else:
        names = ["word", "threshold", "precision", "recall", "photographs that show it", "answers", ""]
        render.rows(names, [_cells(row, results[row["label"]]) for row in rows])
    for status, said in (
        ("withheld", f"withheld, the precision of {session.precision:g} is not shown"),
        ("unfinished", "answers are missing; the same command asks for them"),
    ):
        if words := [row["label"] for row in rows if row["status"] == status]:
            report.info(f"{', '.join(words)}: {said}")
    if more := [label for label, found in results.items() if found.threshold is not None and not found.decided]:
        report.info(f"{', '.join(more)}: more answers may lead to a lower threshold, which finds more")
    if few := [row["label"] for row in rows if recall is not None and row.get("recall", 1) < recall]:
        report.info(f"{', '.join(few)}: fewer than {recall:g} of the photographs are found, by the estimate")
    if known and not dry_run:
        report.info(f"wrote {out}; next: aaam-pipe relabel {session.pool.folder} --thresholds {out}")


def _row(label: str, found: "LabelThreshold") -> dict[str, Any]:
    status = "held" if found.threshold is not None else "withheld" if found.decided else "unfinished"
    row: dict[str, Any] = {"label": label, "threshold": found.threshold, "status": status, "answers": found.answers}
    for name in ("precision", "recall", "photographs"):
        interval: Interval | None = getattr(found, name)
        if interval:
            digits = 1 if name == "photographs" else 4
            row |= {name: round(interval.estimate, digits)}
            row |= {f"{name}_low": round(interval.low, digits), f"{name}_high": round(interval.high, digits)}
    return row


def _cells(row: dict[str, Any], found: "LabelThreshold") -> list[str]:
    threshold = "" if found.threshold is None else f"{found.threshold:.3f}"
    shown = [_said(each, ".2f") for each in (found.precision, found.recall)]
    return [row["label"], threshold, *shown, _said(found.photographs, ",.0f"), str(found.answers), row["status"]]


def _said(interval: "Interval | None", form: str) -> str:
    return f"{interval.estimate:{form}} ({interval.low:{form}} to {interval.high:{form}})" if interval else ""
