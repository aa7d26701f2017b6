"""Where a project's files lie: the one place besides dvc.yaml that knows the layout."""

from collections.abc import Callable
from pathlib import Path

from aaam_pipeline.core.artifacts import newest

DECISIONS = "decisions.jsonl"
"""The ledger of decisions, in the folder that an index lies in."""
BUNDLES = ("models/*/*/bundle.json", "models/*/bundle.json")
INDEXES = ("index/manifest.json", "*/index/manifest.json", "retrieval/*/index/manifest.json")


def _of_dataset(path: str) -> "Callable[[Project, str], Path]":
    return lambda project, dataset: project.root / path.format(dataset)


def _of_phase(path: str) -> "Callable[[Project, str, str], Path]":
    return lambda project, dataset, phase: project.root / path.format(dataset, phase)


class Project:
    """A project's folder, the current one by default, and the paths below it; no file is touched but for `newest_...`.

    Attributes are paths of the whole project. `prepared(dataset)`, `scores(dataset, phase)` and their like return those
    of a data set, or of a phase of its training.
    """

    # the bundle, the training curve, the test scores, and the metrics of the validation split of a phase
    bundle = _of_phase("models/{}/{}")
    history = _of_phase("plots/{}/{}.csv")
    scores = _of_phase("scores/{}/{}.parquet")
    validation = _of_phase("reports/{}/validation/{}.json")
    # what `download` left is in data/raw; `recordings`: prediction paths, <phase>.parquet
    prepared = _of_dataset("data/prepared/{}")
    recordings = _of_dataset("plots/{}/paths")
    figures = _of_dataset("figures/{}")
    # of the compared methods: their inputs, their scores, <method>.parquet, and the report
    features = _of_dataset("features/{}")
    compared_scores = _of_dataset("scores/{}/compare")
    comparison = _of_dataset("reports/{}/compare.json")
    # <variant>/<seed>.parquet
    ablation_scores = _of_dataset("scores/{}/ablation")

    def __init__(self, root: Path = Path()) -> None:
        self.root = root
        self.params = root / "params.yaml"
        self.pipeline = root / "dvc.yaml"
        self.models_root = root / "models"
        self.prepared_root = root / "data" / "prepared"
        self.scores_root = root / "scores"
        self.reports_root = root / "reports"
        # what `aaam-pipe annotate` and `aaam-pipe index` write to
        self.annotations = root / "annotations"
        self.index = root / "index"
        # what `aaam-pipe train` writes to
        self.own_model = root / "models" / "mine"

    def work(self, kind: str, *names: str) -> Path:
        """Return the folder that keeps unfinished work of a kind (`train`, `compare`, `ablation`, `download`)."""
        return (self.root / ".aaam" / kind).joinpath(*names)

    def newest_index(self) -> Path | None:
        """Return the index that was written last: here, in a folder below, or of a data set; or None."""
        return newest(self.root, INDEXES)


# of the folder that a command is started in: relative paths
HERE = Project()
