"""Where a project's files lie: the one place besides dvc.yaml that knows the layout."""

from collections.abc import Collection
from pathlib import Path

from aaam_pipeline.core.artifacts import newest

BUNDLES = ("models/*/*/bundle.json", "models/*/bundle.json")
INDEXES = ("index/manifest.json", "*/index/manifest.json", "retrieval/*/index/manifest.json")


class Project:
    """A project's folder, the current one by default, and the paths below it; no file is touched but for `newest_...`.

    params.yaml                               settings
    data/raw|prepared/<data set>              what `download` and `prepare` leave
    models/<data set>/<phase>                 bundles
    scores/<data set>/<phase>.parquet         test scores; compare/<method>.parquet, ablation/<variant>/<seed>.parquet
    plots/<data set>/<phase>.csv              training curves; paths/<phase>.parquet: recordings
    reports/<data set>                        metrics and tables; validation/<phase>.json, compare.json
    features/<data set>                       the inputs of the compared methods
    figures/, retrieval/<data set>            what the stages of these names write
    annotations, index                        what the commands write in one's own folder
    .aaam/<kind>                              unfinished work and downloads, outside of what DVC deletes
    """

    def __init__(self, root: Path = Path()) -> None:
        self.root = root
        self.params = root / "params.yaml"
        self.prepared_root = root / "data" / "prepared"
        self.scores_root = root / "scores"
        self.reports_root = root / "reports"
        self.annotations = root / "annotations"
        self.index = root / "index"

    def prepared(self, dataset: str) -> Path:
        """Return the folder of a prepared data set."""
        return self.prepared_root / dataset

    def bundle(self, dataset: str, phase: str) -> Path:
        """Return the folder of the model bundle of a phase."""
        return self.root / "models" / dataset / phase

    def scores(self, dataset: str, phase: str) -> Path:
        """Return the file of the test scores of a phase."""
        return self.scores_root / dataset / f"{phase}.parquet"

    def compared_scores(self, dataset: str) -> Path:
        """Return the folder of the compared methods' scores."""
        return self.scores_root / dataset / "compare"

    def ablation_scores(self, dataset: str) -> Path:
        """Return the folder of the ablation's scores."""
        return self.scores_root / dataset / "ablation"

    def history(self, dataset: str, phase: str) -> Path:
        """Return the file of the training curve of a phase."""
        return self.root / "plots" / dataset / f"{phase}.csv"

    def recordings(self, dataset: str) -> Path:
        """Return the folder of the prediction paths, `<phase>.parquet`."""
        return self.root / "plots" / dataset / "paths"

    def validation(self, dataset: str, phase: str) -> Path:
        """Return the file of the validation metrics of a phase."""
        return self.reports_root / dataset / "validation" / f"{phase}.json"

    def comparison(self, dataset: str) -> Path:
        """Return the report on the compared methods."""
        return self.reports_root / dataset / "compare.json"

    def features(self, dataset: str) -> Path:
        """Return the folder of the features of the compared methods."""
        return self.root / "features" / dataset

    def figures(self, dataset: str) -> Path:
        """Return the folder of a data set's figures."""
        return self.root / "figures" / dataset

    def work(self, kind: str, *names: str) -> Path:
        """Return the folder that keeps unfinished work of a kind (`train`, `compare`, `ablation`, `download`)."""
        return (self.root / ".aaam" / kind).joinpath(*names)

    def newest_bundle(self, without: Collection[str] = ()) -> Path | None:
        """Return the bundle below `models` that was written last, or None; `without`: phases that do not count."""
        return newest(self.root, BUNDLES, without)

    def newest_index(self) -> Path | None:
        """Return the index that was written last: here, in a folder below, or of a data set; or None."""
        return newest(self.root, INDEXES)


# of the folder that a command is started in: relative paths
HERE = Project()
