"""Compare scores as they are, divided by their scaling's maxima, and by each label's maximum over the test images.

    python -m benchmarks.scaling scores/corel5k/compare/*.parquet

The last is transductive, what an image gets depends on the others that are annotated with it: measured here, and
nowhere else. In percent, but for N+.
"""

import sys
from pathlib import Path

import numpy as np

from aaam_pipeline import metrics
from aaam_pipeline.formats.scaling import scaled
from aaam_pipeline.formats.scores import read_scores
from benchmarks.table import Report

NAMES = ("precision_at_k", "recall_at_k", "map_at_10")


def main(files: list[Path]) -> None:
    """Print the table, a row a file."""
    groups = ("as they are", "inductive", "by test images")
    columns = [f"{group}: {name}" for group in groups for name in ("P@k", "R@k", "mAP@10", "N+")]
    add = Report().table("Scaled scores", ["method", "maxima of", *columns])
    for file in files:
        split = read_scores(file)
        if not split.scaling:
            sys.exit(f"{file} holds no scaling: run its stage again")
        inductive_NL = scaled(split.scores_NL, split.scaling.maxima)
        by_test_NL = scaled(split.scores_NL, split.scores_NL.max(0))
        cells = []
        for scores_NL in (scaled(split.scores_NL, np.ones(len(split.labels))), inductive_NL, by_test_NL):
            found = metrics.evaluate(scores_NL, split.targets_NL, split.k)
            cells += [*(f"{100 * found[name]:.1f}" for name in NAMES), str(found["n_plus"])]
        add([f"`{file.stem}`", split.scaling.split, *cells])


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])
