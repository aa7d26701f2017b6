"""Tables 1 to 4 in the paper's layout: the printed number, ours, the difference; a row that is missing says why."""

from collections.abc import Mapping, Sequence

from aaam_pipeline.evaluation.ablation import VARIANTS
from aaam_pipeline.evaluation.document import NONE, Column, Table, percent, signed
from aaam_pipeline.evaluation.inputs import COMPARE, SCALED, Inputs, Statistics, scaled_title, with_scaled
from aaam_pipeline.evaluation.paper import METRICS, Printed, paper

COMPARED = ("printed", "ours", "diff.")
NAMES = ("Precision@k", "Recall@k", "mAP@10", "mAP")
STATISTICS = (
    "images",
    "labels",
    "train images",
    "test images",
    "labels an image, mean",
    "labels an image, fewest",
    "labels an image, most",
)
DIGITS = 2
TRAIN = "Train images are those trained and validated on."
# rows that a training of ours fills: the scores file that is looked for
FILES = {"warp": "warp", "bce+attention": "bce", "aaam": "hard"}


def table_1(reports: Sequence[Inputs], elsewhere: Mapping[str, str]) -> Table:
    """Return Table 1 of the data sets of a report, and of others of the paper that are not in it, with the reason."""
    columns, parts = [Column("", text=True)], [list(STATISTICS)]
    notes: dict[str, list[str]] = {}
    known = [(each.title, paper().printed(each.name), each.statistics, _not_counted(each)) for each in reports]
    missing = [(paper().datasets[name].title, paper().datasets[name], None, why) for name, why in elsewhere.items()]
    for title, printed, statistics, why in [*known, *missing]:
        names = COMPARED if printed and statistics else ("printed",) if printed else ("ours",)
        columns += [Column(name, title) for name in names]
        theirs, ours = _printed_statistics(printed), _our_statistics(statistics)
        differences = [_difference(one, other) for one, other in zip(ours, theirs, strict=True)]
        cells = {"printed": map(_number, theirs), "ours": map(_number, ours), "diff.": differences}
        parts += [list(cells[name]) for name in names]
        if not statistics:
            notes.setdefault(why, []).append(title)
        elif statistics.lost:
            notes[f"{statistics.lost:,} images more are missing or cannot be decoded: its bad_images.csv"] = [title]
    rows = [list(row) for row in zip(*parts, strict=True)]
    remarks = [f"{', '.join(titles)}: {why}." for why, titles in notes.items()]
    return Table("Table 1. Configuration of the data sets", columns, rows, " ".join([TRAIN, *remarks]))


def results(report: Inputs) -> Table:
    """Return Table 2, 3 or 4, or a table like it for a data set that the paper does not have."""
    printed = paper().printed(report.name)
    found = _found(report)
    rows: list[list[str]] = []
    strong = set()
    for title in with_scaled([*paper().titles(report.name), *found], found):
        if title == report.ours.title:
            strong.add(len(rows))
        values, deviations, source = found.get(title) or (None, None, _why(report, title))
        theirs = printed.rows.get(title) if printed else None
        rows.append([title, *_cells(values, deviations, theirs, printed is not None), source])
    number = f"Table {printed.table}. Image annotation" if printed else "Image annotation"
    return Table(
        f"{number} results on {report.title} (k = {report.k})",
        _columns(printed is not None), rows, _note(report, printed, found), frozenset(strong),
    )  # fmt: skip


def not_run(name: str, why: str) -> Table:
    """Return the table of a data set of the paper that a report is not about, as printed."""
    printed = paper().datasets[name]
    rows = [[title, *_cells(None, None, values, True), why] for title, values in printed.rows.items()]
    title = f"Table {printed.table}. Image annotation results on {printed.title} (k = {printed.k})"
    return Table(title, _columns(True), rows, "Percent.")


Row = tuple[dict[str, float] | None, dict[str, float] | None, str]


def _found(report: Inputs) -> dict[str, Row]:
    """Return title -> metrics, deviations and source: of the first scores file of a title, then of the ablation."""
    found: dict[str, Row] = {}
    for method in report.methods:
        title = method.title if method.title not in found else f"{method.title} ({method.name})"
        found[title] = (method.metrics, None, f"{method.name}.parquet")
        if method.scaled:
            found[scaled_title(title)] = (method.scaled, None, f"{method.name}.parquet, by {method.scaled_by}")
    for title, spread in report.ablation.items():
        seeds = f"{spread.seeds} seeds" if spread.seeds > 1 else "one seed"
        key = title if title not in found else f"{title} (ablation)"
        found[key] = (spread.mean, spread.deviation, f"ablation.csv, {seeds}")
    return found


def _cells(
    ours: Mapping[str, float] | None,
    deviations: Mapping[str, float] | None,
    theirs: Sequence[float | None] | None,
    compared: bool,
) -> list[str]:
    cells = []
    for position, name in enumerate(METRICS):
        value, printed = ours[name] if ours else None, theirs[position] if theirs else None
        shown = percent(value, DIGITS) + (f" ± {percent(deviations[name], DIGITS)}" if deviations else "")
        if compared:
            difference = value - printed / 100 if value is not None and printed is not None else None
            cells += [NONE if printed is None else f"{printed:.{DIGITS}f}", shown, signed(difference, DIGITS)]
        else:
            cells.append(shown)
    return cells


def _columns(compared: bool) -> list[Column]:
    method, source = Column("method", text=True), Column("source", text=True)
    if not compared:
        return [method, *map(Column, NAMES), source]
    return [method, *(Column(name, group) for group in NAMES for name in COMPARED), source]


def _why(report: Inputs, title: str) -> str:
    """Say why a row has no numbers of ours: what file is looked for in the data set's folder, and is not there."""
    name = next(name for name, row in paper().methods.items() if row == title)
    if name in FILES:
        named = any(method.name == FILES[name] for method in report.methods)
        return "not run: the network has no attention layer" if named else f"not run: no {FILES[name]}.parquet"
    if name not in VARIANTS:
        return f"not run: no {COMPARE}/{name}.parquet"
    return f"not run: no {name} in ablation.csv" if report.ablation else "not run: no ablation.csv"


def _note(report: Inputs, printed: Printed | None, found: Mapping[str, Row]) -> str:
    scores, ablation = report.sources.scores / report.name, report.sources.ablations / report.name
    notes = [f"Percent. Sources: *.parquet in {scores}, ablation.csv in {ablation}."]
    if printed is None:
        notes.append(f"The paper has no results on {report.name}.")
    elif printed.k != report.k:
        notes.append(f"The paper has k = {printed.k}.")
    if any(method.scaled for method in report.methods):
        notes.append(SCALED)
    if printed and any("2PkNN" in title for title in printed.rows):
        notes.append("Published figures of 2PKNN may be of scores divided by their maximum over the test images.")
    if any(deviations for _, deviations, _ in found.values()):
        notes.append("±: the standard deviation over seeds.")
    if report.ours.title.startswith("AAAM"):
        notes.append("AAAM is BCE + TM + Self-Attention after the hard phase;")
        notes.append("BCE + Self-Attention is the network after bce.")
    return " ".join(notes)


def _not_counted(report: Inputs) -> str:
    return f"not counted: no {report.sources.prepared / report.name}"


def _printed_statistics(printed: Printed | None) -> list[float | None]:
    if printed is None:
        return [None] * len(STATISTICS)
    return [printed.images, printed.labels, printed.train, printed.test, printed.mean, *printed.range]


def _our_statistics(statistics: Statistics | None) -> list[float | None]:
    if statistics is None:
        return [None] * len(STATISTICS)
    labels = len(statistics.train_L)
    return [statistics.images, labels, statistics.train, statistics.test, *statistics.per_image]


def _number(value: float | None) -> str:
    """Return a count with its thousands apart, a mean with one digit as in the paper."""
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def _difference(one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return NONE
    both = isinstance(one, int) and isinstance(other, int)
    return f"{one - other:+,}" if both else f"{round(one - other, 1) + 0.0:+.1f}"
