"""The photographs to be judged as a CSV list, which is read back with answers: `thresholds` without questions."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.core.artifacts import path_text, write_csv
from aaam_pipeline.core.csv_cells import from_cell
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decision_lines import label_key

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.judging import JudgingSession

COLUMNS = ("label", "image", "shows", "sha256")
ANSWERS = dict.fromkeys(("yes", "y", "1", "true"), True) | dict.fromkeys(("no", "n", "0", "false"), False)


def write(session: "JudgingSession", path: Path, report: "Reporter") -> None:
    """Write what is to be judged next.

    Raises:
        AaamError: the file cannot be written.
    """
    questions = list(session.batch())[: session.budget]
    rows = [
        [each.label, f"{each.place.root.rstrip('/')}/{each.place.path}", "", each.place.sha256] for each in questions
    ]
    try:
        write_csv(path, [COLUMNS, *rows])
    except OSError as error:
        raise AaamError(f"cannot write {path}: {error.strerror or error}") from None
    photographs = counted(len(rows), "photograph")
    report.info(f"wrote {path}: {photographs} to judge; write yes or no into the column shows, then --answers {path}")


def labels_of(path: Path) -> list[str]:
    """Return the labels of a list that was answered."""
    return list(dict.fromkeys(from_cell(row["label"]) for row in _rows(path)))


def answers_left(path: Path, ledger: Path) -> int:
    """Return how many answers of a list are not decided so in the ledger.

    Raises:
        UsageError: it is no such list.
    """
    rows = [row for row in _rows(path) if row["shows"].strip()]
    if not rows:
        return 0
    known = decisions.read(ledger).verdicts()
    decided = {(sha256, label_key(label)): verdict.value == "yes" for sha256, label, verdict in known}
    pairs = ((row["sha256"].strip().lower(), label_key(from_cell(row["label"]))) for row in rows)
    answers = (ANSWERS.get(row["shows"].strip().lower()) for row in rows)
    return sum(answer is None or decided.get(pair) != answer for pair, answer in zip(pairs, answers, strict=True))


def read(session: "JudgingSession", path: Path, report: "Reporter") -> None:
    """Take the answers of a list; rows without one are left out.

    Raises:
        UsageError: it is no such list, or an answer is neither yes nor no.
        AaamError: an answer cannot be written into the ledger.
    """
    others = 0
    found = []
    for number, row in enumerate(_rows(path), start=2):
        answer = row["shows"].strip().lower()
        if not answer:
            continue
        if answer not in ANSWERS:
            raise UsageError(f"{path}, line {number}: {answer!r} is neither yes nor no")
        try:
            question = session.wanted(from_cell(row["label"]), row["sha256"].strip())
        except ValueError:
            raise UsageError(f"{path}, line {number}: {row['sha256']!r} is no SHA-256") from None
        if question is None:
            others += 1
        elif not session.is_answered(question, ANSWERS[answer]):
            found.append((question, ANSWERS[answer]))
    session.answer(*found)
    left = f"; {others} are of other words or photographs" if others else ""
    report.info(f"{path}: {counted(len(found), 'answer')} taken{left}")


def _rows(path: Path) -> list[dict[str, str]]:
    name = path_text(path)
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            raise UsageError(f"{name} is no list that --sample wrote: it has no column {min(missing)}")
        found = [{key: row[key] or "" for key in COLUMNS} for row in rows]
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} is no list that --sample wrote: {error}") from None
    return found
