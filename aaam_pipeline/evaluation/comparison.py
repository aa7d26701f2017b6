"""The paper's table of a data set with what each method costs: the numbers printed, ours, time and memory."""

from aaam_pipeline import metrics
from aaam_pipeline.evaluation.ablation import read_ablation
from aaam_pipeline.evaluation.document import NONE, Column, Table, percent
from aaam_pipeline.evaluation.evaluate import evaluate_scaled
from aaam_pipeline.evaluation.inputs import COMPARE, SCALED, Sources, scaled_title, title, with_scaled
from aaam_pipeline.evaluation.paper import METRICS, paper
from aaam_pipeline.formats.comparison import Comparison, MethodResult
from aaam_pipeline.formats.scores import read_scores

HEADS = ("P@k", "R@k", "mAP@10", "mAP", "N+")
COST = ("fit", "predict", "memory")
FREE = [NONE] * len(COST)


def table(comparison: Comparison, sources: Sources) -> Table:
    """Return the table, with the trained phases and the ablation beside the compared methods where they are there.

    Raises:
        IntegrityError: a file is damaged.
    """
    printed = paper().printed(comparison.dataset)
    ours = _ours(comparison, sources)
    rows: list[list[str]] = []
    for name in with_scaled([*paper().titles(comparison.dataset), *ours], ours):
        theirs = printed.rows.get(name) if printed else None
        found, cost = ours.get(name, (None, FREE))
        cells = [name]
        for position, metric in enumerate(METRICS):
            if printed:
                cells.append(NONE if not theirs or theirs[position] is None else f"{theirs[position]:.1f}")
            cells.append(percent(found[metric]) if found else NONE)
        rows.append([*cells, f"{round(found['n_plus'], 1):g}" if found else NONE, *cost])
    pairs = ("printed", "ours") if printed else ("",)
    results = [Column(name, group) if printed else Column(group) for group in HEADS[:-1] for name in pairs]
    columns = [Column("method", text=True), *results, Column(HEADS[-1]), *map(Column, COST)]
    heading = (
        f"Methods on {printed.title if printed else comparison.dataset} (k = {comparison.k}), "
        f"features of {comparison.model} ({comparison.dimension:,})"
    )
    return Table(heading, columns, rows, _note(comparison))


def _ours(comparison: Comparison, sources: Sources) -> dict[str, tuple[dict[str, float], list[str]]]:
    """Return title -> metrics and cost, of the compared methods, the trained phases and the ablation."""
    # `bce` is a compared method and a phase, with a row of its own for each
    done = [each for each in comparison.methods if not each.error]
    rows = {title(f"{COMPARE}/{each.name}"): (each.test, _cost(each)) for each in done}
    rows |= {scaled_title(title(f"{COMPARE}/{each.name}")): (each.scaled, FREE) for each in done if each.scaled}
    # the phases of training in their order, and the network trained with WARP
    paths = [sources.scores / comparison.dataset / f"{phase}.parquet" for phase in (*paper().phases, "warp")]
    for path in (each for each in paths if each.is_file()):
        split = read_scores(path)
        name = title(path.stem)
        values = metrics.evaluate(split.scores_NL, split.targets_NL, split.k)
        name = name if name not in rows else f"{name} (network)"
        rows[name] = (values, FREE)
        if split.scaling:
            rows[scaled_title(name)] = (evaluate_scaled(split), FREE)
    for name, spread in read_ablation(sources.ablations / comparison.dataset / "ablation.csv").items():
        rows.setdefault(name if name not in rows else f"{name} (ablation)", (dict(spread.mean), FREE))
    return rows


def _cost(result: MethodResult) -> list[str]:
    return [_seconds(result.seconds_fit), _seconds(result.seconds_predict), f"{result.peak_bytes / 1e9:.2f} GB"]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _note(comparison: Comparison) -> str:
    images = ", ".join(f"{count:,} {split}" for split, count in comparison.images.items())
    notes = [
        f"Percent; images: {images}.",
        f"Time and memory: of a process with {comparison.threads} threads, with the features that it read.",
    ]
    by = {split: [each.name for each in comparison.methods if each.scaled_by == split] for split in ("train", "val")}
    if any(by.values()):
        notes.append(SCALED)
    notes += [f"By those of {split}: {', '.join(names)}." for split, names in by.items() if names]
    if comparison.earlier:
        notes.append(f"Of an earlier run, with other settings, code or libraries: {', '.join(comparison.earlier)}.")
    reasons = dict.fromkeys(each.error for each in comparison.methods if each.error)
    for reason in reasons:
        names = ", ".join(each.name for each in comparison.methods if each.error == reason)
        notes.append(f"{names} failed: {reason}.")
    return " ".join(notes)
