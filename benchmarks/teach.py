"""Words that a person teaches: average precision by the number of examples, beside other ways to learn them.

A word is one that the starter has not (Corel-5k, its own labels), or has, but whose row is withheld (`everyday`; the
embedding was trained with it, the way that is compared was not told). Photographs are divided in halves: examples and
unlabelled photographs come from one, among which others that show the word are unlabelled, too; AP is measured on the
other. Half of the words chose the constants of `curation.teach`; those of the tables are the others. Last: words of
random photographs, which are to be refused; and the column of one word over a million images.

Shapes: N photographs, L labels, D embedding, U unlabelled, E examples.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.curation import teach
from aaam_pipeline.curation.teach import Background, UnlearnableError
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord
from aaam_pipeline.index.manifest import VECTORS, IndexManifest, VectorsInfo
from aaam_pipeline.index.taught import with_columns
from aaam_pipeline.index.vectors import Vectors, unit, write_faiss
from aaam_pipeline.metrics.annotation import average_precision
from benchmarks.table import Report
from benchmarks.teach_material import COREL, EVERYDAY, Material, corel, everyday

MINUTES = (8.0, 30.0)
EXAMPLES = (5, 10, 20, 50)
UNLABELLED = 4000

Floats = NDArray[np.float32]
Score = Callable[[Floats], NDArray[Any]]
Learn = Callable[[Floats, Floats, Background], Score]
"""Returns what scores photographs, from examples (E, D), unlabelled photographs (U, D) and what these look like."""


def mean(yes_ED: Floats, unlabelled_UD: Floats, background: Background) -> Score:
    return lambda unit_ND: unit_ND @ yes_ED.mean(0)


def nearest(yes_ED: Floats, unlabelled_UD: Floats, background: Background) -> Score:
    return lambda unit_ND: (unit_ND @ yes_ED.T).max(1)


def logistic(yes_ED: Floats, unlabelled_UD: Floats, background: Background, *, balanced: bool = False) -> Score:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=300, class_weight="balanced" if balanced else None)
    fitted = model.fit(
        np.concatenate([yes_ED, unlabelled_UD]), np.arange(len(yes_ED) + len(unlabelled_UD)) < len(yes_ED)
    )
    return lambda unit_ND: unit_ND @ fitted.coef_[0]


def taught(yes_ED: Floats, unlabelled_UD: Floats, background: Background) -> Score:
    inside_ED = background.inside(yes_ED)
    direction_D = teach._direction(background, inside_ED, inside_ED[:0])
    weight_D, _ = background.outside(direction_D)
    return lambda unit_ND: unit_ND @ weight_D


WAYS: dict[str, Learn] = {
    "**teach**": taught,
    "logistic regression": logistic,
    "logistic regression, classes balanced": partial(logistic, balanced=True),
    "mean vector": mean,
    "nearest example": nearest,
}
TRAINED = "all known labels (full training)"


def run(report: Report, full: bool) -> None:
    """Measure; `full`: also `everyday`, and two draws of Corel-5k, which has fewer words."""
    for folder, read in ((COREL, corel), *(((EVERYDAY, everyday),) if full else ())):
        if not folder.is_dir():
            report.note(f"No photographs in {folder}: left out.")
            continue
        material = read()
        measure(report, material, 2 if full and material.name == "Corel-5k" else 1)
        said(report, material)
        refusals(report, material, 200 if full else 50)
    million(report, 1_000_000 if full else 100_000)


def measure(report: Report, material: Material, draws: int) -> None:
    words = len(material.measured)
    add = report.table(
        f"{material.name}, {words} words: AP, % (standard deviation over words)",
        ["learned by", *(f"{count} examples" for count in EXAMPLES)],
    )
    ways = (*WAYS, TRAINED)
    found: dict[str, dict[int, list[float]]] = {way: {count: [] for count in EXAMPLES} for way in ways}
    for draw in range(draws):
        halves = np.random.default_rng(draw).permutation(len(material.unit_ND))
        here, there = np.array_split(halves, 2)
        background = Background(material.unit_ND[here[:UNLABELLED]])
        for word in material.measured:
            target_N = material.targets_NL[:, word]
            shown, others = (here[target_N[here] == value] for value in (1, 0))
            known = there[target_N[there] >= 0]
            train = logistic(material.unit_ND[shown], material.unit_ND[others[:UNLABELLED]], background)
            trained = train(material.unit_ND[known])
            for count in EXAMPLES:
                if len(shown) < count + 2:
                    continue
                found[TRAINED][count].append(_ap(trained, target_N[known] == 1))
                # of two words and of two draws the examples are others
                yes = np.random.default_rng([draw, word]).permutation(shown)[:count]
                unlabelled_UD = material.unit_ND[np.setdiff1d(here[:UNLABELLED], yes)]
                for way, learn in WAYS.items():
                    score_N = learn(material.unit_ND[yes], unlabelled_UD, background)(material.unit_ND[known])
                    found[way][count].append(_ap(score_N, target_N[known] == 1))
            report.info(f"{material.name}, draw {draw + 1}: {material.words[word]}")
    for way, values in found.items():
        add([way, *(f"{100 * np.mean(each):.1f} ({100 * np.std(each):.0f})" for each in values.values())])
    add(["words and draws", *(str(len(values)) for values in found["**teach**"].values())])


def said(report: Report, material: Material) -> None:
    """Say what `teach` says of its own AP, beside the AP on photographs that it did not see."""
    add = report.table(
        f"{material.name}: the AP that teach says, and what it is, over words that are not refused",
        ["examples", "AP said", "AP", "mean difference", "the interval holds it, %", "width of the interval"],
    )
    random = np.random.default_rng(0)
    here, there = np.array_split(random.permutation(len(material.unit_ND)), 2)
    sample = here[:UNLABELLED]
    background = Background(material.unit_ND[sample])
    for count in EXAMPLES:
        found = []
        for word in material.measured:
            target_N = material.targets_NL[:, word]
            shown, known = here[target_N[here] == 1], there[target_N[there] >= 0]
            if len(shown) < count + 2:
                continue
            yes = random.permutation(shown)[:count]
            try:
                fit = teach.fit(background, material.unit_ND[yes], material.unit_ND[:0], ~np.isin(sample, yes))
            except UnlearnableError:
                continue
            score_N = material.unit_ND[known] @ fit.weight_D
            said = fit.judgement
            found.append([said.ap, _ap(score_N, target_N[known] == 1), said.low, said.high])
        ap_W, is_W, low_W, high_W = np.array(found).T
        held = 100 * np.mean((low_W <= is_W) & (is_W <= high_W))
        cells = [ap_W.mean(), is_W.mean(), np.abs(ap_W - is_W).mean()]
        add([str(count), *(f"{each:.2f}" for each in cells), f"{held:.0f}", f"{(high_W - low_W).mean():.2f}"])


def refusals(report: Report, material: Material, draws: int) -> None:
    """Say how often examples are refused: random photographs, and those of words."""
    add = report.table(
        f"{material.name}: refused as what cannot be learned, %", ["examples", "3", *(str(each) for each in EXAMPLES)]
    )
    random = np.random.default_rng(0)
    sample = random.choice(len(material.unit_ND), UNLABELLED, replace=False)
    background = Background(material.unit_ND[sample])

    def refused(chosen: NDArray[np.intp]) -> bool:
        try:
            teach.fit(background, material.unit_ND[chosen], material.unit_ND[:0], ~np.isin(sample, chosen))
        except UnlearnableError:
            return True
        return False

    rows: dict[str, list[str]] = {"random photographs": [], "photographs of a word": []}
    for count in (3, *EXAMPLES):
        chance = [refused(random.choice(len(material.unit_ND), count, replace=False)) for _ in range(draws)]
        rows["random photographs"].append(f"{100 * np.mean(chance):.1f}")
        real = []
        for word in material.measured:
            shown = np.flatnonzero(material.targets_NL[:, word] == 1)
            real += [refused(random.choice(shown, count, replace=False)) for _ in range(3) if len(shown) >= count]
        rows["photographs of a word"].append(f"{100 * np.mean(real):.1f}")
    for name, cells in rows.items():
        add([name, *cells])


def million(report: Report, images: int, dim: int = 1280) -> None:
    """Time a word and its column over made-up vectors, in the kind of index that so many images have."""
    lists, random = 1024, np.random.default_rng(0)
    block = unit(random.normal(size=(16384, dim)).astype(np.float32))
    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(block[:lists])
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.is_trained = True
    for first in range(0, images, len(block)):
        rows = min(len(block), images - first)
        ids, nearest_B = np.arange(first, first + rows), random.integers(lists, size=rows)
        index.add_core(rows, *map(faiss.swig_ptr, (block[:rows], ids, nearest_B)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.faiss"
        write_faiss(index, path)
        del index
        _time(report, path, images, dim, block)


def _time(report: Report, path: Path, images: int, dim: int, block: Floats) -> None:
    manifest = IndexManifest(
        schema_version=7, model_id="toy", model_path="", vocabulary=["a"], thresholds=[0.5], label_counts=[0],
        embedding_dim=dim, images=images, failed=0, annotations=[], vectors=VectorsInfo("ivf", "fp16"),
        sha256={VECTORS: file_sha256(path)},
    )  # fmt: skip
    word = TaughtWord("b", "toy", [], [], 0.5, 0.5, 0.5, 0.5, 0, "", "")
    add = report.table(f"a word, {images:,} images of {dim} numbers, 16 bits each", ["step", "seconds", "CPU seconds"])
    before = [time.perf_counter(), time.process_time()]

    def done(step: str) -> None:
        now = [time.perf_counter(), time.process_time()]
        add([step, *(f"{after - start:.1f}" for after, start in zip(now, before, strict=True))])
        before[:] = now

    with path.open("rb") as file:
        vectors = Vectors(file, manifest)
    sample_UD = vectors.some(np.sort(np.random.default_rng(0).choice(images, 10_000, replace=False)))
    background = Background(sample_UD)
    done("what photographs of the library look like")
    yes_ED = unit(block[:20] * 0.1 + block[0])
    fit = teach.fit(background, yes_ED, yes_ED[:0])
    done("the word, cross-validated")
    with_columns(path.parent, manifest, [TaughtLine(word, fit.weight_D, fit.bias)])
    done("its column")


def _ap(score_N: NDArray[Any], shown_N: NDArray[np.bool_]) -> float:
    return float(average_precision(score_N[:, None], shown_N[:, None].astype(np.int8))[0])
