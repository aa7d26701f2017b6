"""The field's metrics of annotation, retrieval and calibration, pure functions of NumPy arrays."""

from aaam_pipeline.metrics.annotation import average_precision, evaluate, f1_at_k, judged, per_label
from aaam_pipeline.metrics.calibration import calibration_error, fit_calibration, label_calibration_error, reliability
from aaam_pipeline.metrics.neighbours import choose_neighbours, nearest, smooth
from aaam_pipeline.metrics.retrieval import SIZES, PairQueries, label_sets, pair_queries, query_ap, retrieval_map
from aaam_pipeline.metrics.scaling import choose_scaling, sampled
from aaam_pipeline.metrics.thresholds import UNSEEN, choose_thresholds

__all__ = [
    "SIZES",
    "UNSEEN",
    "PairQueries",
    "average_precision",
    "calibration_error",
    "choose_neighbours",
    "choose_scaling",
    "choose_thresholds",
    "evaluate",
    "f1_at_k",
    "fit_calibration",
    "judged",
    "label_calibration_error",
    "label_sets",
    "nearest",
    "pair_queries",
    "per_label",
    "query_ap",
    "reliability",
    "retrieval_map",
    "sampled",
    "smooth",
]
