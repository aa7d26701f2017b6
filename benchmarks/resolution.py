"""What keyword retrieval loses by how finely an index stores scores: a byte, 16 bits of log-odds, float64.

    python -m benchmarks.resolution scores/scenes/hard.parquet scores/corel5k/compare/2pknn.parquet

Shapes: N images, L labels, Q queries of S labels.

Mean average precision of all sets of one, two and three labels that some image holds. With float64 every image is
ranked; a byte is p x 255, rounded, and what has a 0 for a label is not found; 16 bits are `formats.ranking`, with the
least score of a hit. `tied`: the share of images with the most frequent code of a label, in the mean over labels.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking, scores
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.metrics import label_sets
from benchmarks.table import Report

Column = NDArray[np.float64]


def average_precisions(
    score_LN: Column, relevant_LN: NDArray[np.bool_], ids_QS: NDArray[np.intp], least: float
) -> Column:
    """Return the average precision of each query, (Q,); what has a score below `least` is not found."""
    found = []
    for ids_S in ids_QS:
        score_N, relevant_N = score_LN[ids_S].prod(axis=0), relevant_LN[ids_S].all(axis=0)
        order = np.argsort(-score_N, kind="stable")
        hit_N = relevant_N[order]
        precision_N = hit_N.cumsum() / np.arange(1, len(hit_N) + 1)
        found.append((precision_N * (hit_N & (score_N[order] >= least))).sum() / hit_N.sum())
    return np.array(found)


def tied(column_NL: NDArray[np.floating]) -> float:
    """Return the share of images that the most frequent value of a label has, in the mean over labels."""
    return float(
        np.mean([np.unique(column_N, return_counts=True)[1].max() / len(column_N) for column_N in column_NL.T])
    )


def main(files: list[Path]) -> None:
    """Print the table."""
    add = Report().table("mAP of queries, %", ["scores", "stored as", "1 label", "2 labels", "3 labels", "tied, %"])
    for file in files:
        split = scores.read_scores(file)
        calibrated_NL = np.asarray(calibrate(split.scores_NL, split.calibration), np.float64)
        ways: dict[str, tuple[Column, float]] = {
            "float64": (calibrated_NL, 0.0),
            "16 bits": (ranking.decode(ranking.encode(calibrated_NL)), ranking.LEAST),
            "a byte": (np.rint(calibrated_NL.astype(np.float32) * 255).clip(0, 255) / 255, (1 - 1e-9) / 255),
        }
        relevant_LN = np.ascontiguousarray(split.targets_NL.T > 0)
        for name, (stored_NL, least) in ways.items():
            columns_LN = np.ascontiguousarray(stored_NL.T)
            queries = [label_sets(split.targets_NL, size) for size in (1, 2, 3)]
            found = [average_precisions(columns_LN, relevant_LN, ids, least ** ids.shape[1]).mean() for ids in queries]
            add([str(file), name, *(f"{100 * each:.2f}" for each in found), f"{100 * tied(stored_NL):.1f}"])


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
