"""What a report says about a data set beyond the paper's tables, section by section.

Shapes: L labels, P pairs of labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.evaluation import charts
from aaam_pipeline.evaluation.document import NONE, Chart, Column, Section, Table, percent, signed
from aaam_pipeline.evaluation.evaluate import QUERY_DEPTH
from aaam_pipeline.evaluation.inputs import SCALED, Inputs, ScoredMethod, scaled_title

SHOWN = 10
LEAST = 0.0005
# labels in the co-occurrence chart, and pairs in the table beside it
CHART_LABELS, CHART_PAIRS = 40, 15
# methods whose average precisions are beside each other in the table of labels
TABLE_METHODS = 8
# metric -> its column
OVERVIEW = {
    "precision_at_k": Column("P@k", "over labels"),
    "recall_at_k": Column("R@k", "over labels"),
    "map": Column("mAP", "over labels"),
    "n_plus": Column("N+", "over labels"),
    "precision_at_k_per_image": Column("P@k", "over images"),
    "recall_at_k_per_image": Column("R@k", "over images"),
    "map_at_10": Column("mAP@10", "over images"),
    "retrieval_map_1": Column("1 label", "retrieval mAP"),
    "retrieval_map_2": Column("2 labels", "retrieval mAP"),
    "ece_raw": Column("before", "ECE"),
    "ece": Column("after", "ECE"),
}


def overview(report: Inputs) -> Section:
    """Return all metrics of every method."""
    rows: list[list[str]] = []
    strong = set()
    for each in report.methods:
        if each is report.ours:
            strong.add(len(rows))
        rows.append([each.title, each.name, *(_metric(each.metrics, name) for name in OVERVIEW)])
        if each.scaled:
            rows.append([scaled_title(each.title), each.name, *(_metric(each.scaled, name) for name in OVERVIEW)])
    columns = [Column("row", text=True), Column("method", text=True), *OVERVIEW.values()]
    note = (
        f"Percent, but for N+, the labels of {len(report.labels)} with a recall above 0. Retrieval: of all queries of "
        "one and of two labels. ECE, the expected calibration error, is before and after calibration; a method without "
        "one has one of its own scores. Retrieval is of calibrated scores, all else of a method's own."
    )
    note = f"{note} {SCALED}" if any(each.scaled for each in report.methods) else note
    return Section("", "", [Table("All metrics of every method", columns, rows, note, frozenset(strong))])


def _metric(values: Mapping[str, float], name: str) -> str:
    value = values.get(name)
    return str(value) if isinstance(value, int) else percent(value, 2 if name.startswith("ece") else 1)


def labels(report: Inputs) -> Section:
    """Return the labels: all of them, the hardest, and those that gain and lose most against the baseline."""
    scored_L = np.flatnonzero(report.judged_L)
    hardest_L = scored_L[np.argsort(report.ours.ap_L[scored_L], kind="stable")]
    items: list[Table | Chart] = [
        _label_table(report, f"The hardest labels: lowest AP of {report.ours.title}", hardest_L[:SHOWN])
    ]
    if report.ours is not report.baseline:
        gain_L = report.ours.ap_L - report.baseline.ap_L
        falling_L = scored_L[np.argsort(-gain_L[scored_L], kind="stable")]
        against = f"against {report.baseline.title}"
        # what is 0.0 in the table is neither
        up_L, down_L = falling_L[gain_L[falling_L] > LEAST], falling_L[::-1][gain_L[falling_L[::-1]] < -LEAST]
        items += [
            _label_table(report, f"The largest gains {against}", up_L[:SHOWN]),
            _label_table(report, f"The largest losses {against}", down_L[:SHOWN]),
        ]
    items.append(_label_table(report, "Every label", np.arange(len(report.labels))))
    missing = int((report.test_L == 0).sum())
    text = "AP is the average precision of a label's ranking of the test images, in percent."
    if _partial(report):
        text += " Only images of which the label is known are ranked and counted."
    if missing:
        text += f" {missing} labels have no test image, and no AP."
    if vacuous := len(report.labels) - len(scored_L) - missing:
        text += f" {vacuous} labels have no test image that is known to be without them, and no AP."
    return Section("Labels", text, items)


def _partial(report: Inputs) -> bool:
    """Return whether labels of some images are unknown."""
    return report.beside_LL is not None


def _label_table(report: Inputs, title: str, ids_L: NDArray[np.intp]) -> Table:
    """Return a table of labels: images, AP of the two methods and their difference, then AP of the other methods."""
    pair = report.compared
    others = [method for method in report.methods if method not in pair][: TABLE_METHODS - len(pair)]
    columns = [Column("label", text=True), Column("train", "images"), Column("test", "images")]
    columns += [Column("known", "test images")] if _partial(report) else []
    columns += [Column(method.title, "AP") for method in pair]
    columns += [Column("diff.", "AP")] if len(pair) > 1 else []
    columns += [Column(method.title, "AP") for method in others]
    gain_L = report.ours.ap_L - report.baseline.ap_L
    rows = []
    for label in ids_L.tolist():
        there = bool(report.judged_L[label])
        ap = [float(method.ap_L[label]) if there else None for method in (*pair, *others)]
        difference = [signed(float(gain_L[label]) if there else None)] if len(pair) > 1 else []
        train = str(report.statistics.train_L[label]) if report.statistics else NONE
        shown = [percent(value) for value in ap]
        counts = [train, str(report.test_L[label]), *([str(report.known_L[label])] if _partial(report) else [])]
        rows.append([report.labels[label], *counts, *shown[: len(pair)], *difference, *shown[len(pair) :]])
    left_out = len(report.methods) - len(pair) - len(others)
    return Table(title, columns, rows, f"{left_out} more methods are left out here." if left_out else "")


def calibration(report: Inputs) -> Section:
    """Return how reliable the scores are, before and after calibration."""
    panels = [(method.title, method.raw, method.calibrated) for method in report.compared]
    text = (
        "Of the labels that are given a score of 0.8, are eight in ten there? A point is one of 15 bins of equal "
        "width; the larger, the more scores are in it. A perfect method lies on the diagonal."
    )
    errors = "; ".join(f"{method.title} {_errors(method)}" for method in report.compared)
    chart = Chart(
        "calibration", "Calibration curves", charts.calibration(panels), f"Expected calibration error: {errors}."
    )
    return Section("Calibration", text, [chart])


def _errors(method: ScoredMethod) -> str:
    after = percent(method.metrics["ece"], 2)
    return f"{percent(method.metrics['ece_raw'], 2)} before, {after} after" if "ece_raw" in method.metrics else after


def cooccurrence(report: Inputs) -> Section:
    """Return which labels come together: P(column | row) of the most frequent labels, and the strongest pairs."""
    count_L = report.together_LL.diagonal()
    statistics = report.statistics
    common_L = np.sort(np.argsort(-count_L, kind="stable")[:CHART_LABELS])
    common_L = common_L[count_L[common_L] > 0]
    beside_LL = count_L[:, None] if report.beside_LL is None else report.beside_LL
    given_LL = report.together_LL / np.maximum(beside_LL, 1)
    common_L = common_L[np.argsort(-count_L[common_L], kind="stable")]
    names = [report.labels[label] for label in common_L]
    of = f"all {statistics.images:,} images" if statistics else "the test images"
    of += "" if report.beside_LL is None else " of which the label of the column is known"
    what = "all labels" if len(common_L) == len(report.labels) else f"the {len(common_L)} most frequent labels"
    note = f"Of the images with the label of the row, the share that has the label of the column too: {what}, {of}."
    svg = charts.cooccurrence(names, given_LL[np.ix_(common_L, common_L)])
    items: list[Table | Chart] = [Chart("cooccurrence", "Co-occurrence of labels: P(column | row)", svg, note)]
    if statistics:
        items.append(_pairs(report, statistics.known_L, given_LL))
    return Section("Co-occurrence", "", items)


def _pairs(report: Inputs, known_L: NDArray[np.intp], given_LL: NDArray[np.float64]) -> Table:
    """Return the pairs of labels that come together most often beyond chance, those held by at least ten images."""
    count_L = report.together_LL.diagonal()
    lift_LL = given_LL * known_L / np.maximum(count_L, 1)
    one_P, other_P = np.nonzero(np.triu(report.together_LL >= QUERY_DEPTH, 1))
    best_P = np.argsort(-lift_LL[one_P, other_P], kind="stable")[:CHART_PAIRS]
    rows = []
    for one, other in zip(one_P[best_P].tolist(), other_P[best_P].tolist(), strict=True):
        names, together = [report.labels[one], report.labels[other]], report.together_LL[one, other]
        given = [percent(given_LL[one, other]), percent(given_LL[other, one])]
        rows.append([*names, str(together), *given, f"{lift_LL[one, other]:.1f}"])
    columns = [
        *(Column(name, text=True) for name in "ab"),
        *map(Column, ("images with both", "P(b | a)", "P(a | b)", "times chance")),
    ]
    return Table("Labels that come together far more often than by chance", columns, rows)


def queries(report: Inputs) -> Section:
    """Return how well two-label queries are answered: the hardest ones, and the means."""
    ours = report.pairs[-1]
    enough_P = np.flatnonzero(ours.relevant_P >= QUERY_DEPTH)
    if not len(enough_P):
        return Section("Queries of two labels", f"No two labels are on {QUERY_DEPTH} test images together.", [])
    means = [float(pairs.precision_P[enough_P].mean()) for pairs in report.pairs]
    shares = ", ".join(f"{each.title} {percent(mean)}" for each, mean in zip(report.compared, means, strict=True))
    text = (
        f"The share of the first {QUERY_DEPTH} hits that hold both labels, over the {len(enough_P)} pairs that at "
        f"least {QUERY_DEPTH} test images answer: {shares} percent."
    )
    # of equal ones first those that many images would answer, or few
    hardest_P = enough_P[np.lexsort([-ours.relevant_P[enough_P], ours.precision_P[enough_P]])]
    best_P = enough_P[np.lexsort([ours.relevant_P[enough_P], -ours.precision_P[enough_P]])]
    tables = [
        _query_table(report, f"The hardest queries for {report.ours.title}", hardest_P[:SHOWN]),
        _query_table(report, f"The easiest queries for {report.ours.title}", best_P[:SHOWN]),
    ]
    return Section("Queries of two labels", text, [*tables])


def _query_table(report: Inputs, title: str, ids_P: Sequence[int] | NDArray[np.intp]) -> Table:
    ours = report.pairs[-1]
    columns = [Column("query", text=True), Column("images"), *(Column(method.title) for method in report.compared)]
    rows = []
    for pair in ids_P:
        text = " ".join(_quoted(report.labels[label]) for label in ours.ids_P2[pair])
        precision = [percent(each.precision_P[pair], 0) for each in report.pairs]
        rows.append([text, str(ours.relevant_P[pair]), *precision])
    return Table(title, columns, rows)


def _quoted(label: str) -> str:
    return f'"{label}"' if " " in label else label
