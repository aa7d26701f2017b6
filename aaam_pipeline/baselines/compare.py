"""Stage `compare`: every method on the same features, each in a process of its own.

    scores/<data set>/compare/<method>.parquet     test scores
    reports/<data set>/compare.json                metrics, hyper-parameters, time and memory

What is finished is kept in a folder outside of what DVC deletes, so that a run that was stopped, or that is about more
methods, resumes.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from aaam_pipeline.baselines.base import REFUSAL
from aaam_pipeline.baselines.feature_files import read_manifest
from aaam_pipeline.baselines.plugins import plugin_identity
from aaam_pipeline.baselines.registry import create, names
from aaam_pipeline.baselines.tuning import CRITERIA, check_criterion
from aaam_pipeline.baselines.worker import MethodJob, run_method, tune_method
from aaam_pipeline.core.artifacts import fingerprint, publish, sources_fingerprint, work_folder, write_json
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.params import LabelCount, ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.comparison import Comparison, MethodResult
from aaam_pipeline.formats.targets import UNKNOWN

# what a finished result must come from
CODE = ("core", "metrics", "baselines")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "faiss-cpu", "faiss-gpu")
Result = TypeVar("Result")


class ComparisonPaths(NamedTuple):
    """Where a comparison reads and writes; `work` keeps what is finished."""

    features: Path
    prepared: Path
    scores: Path
    report: Path
    work: Path


class MethodSelection(NamedTuple):
    """Which methods are run, and with which hyper-parameters.

    `methods`: none named are all. `criterion`: choose hyper-parameters on validation first, by this
    (`tuning.CRITERIA`); None: do not. `settings`: method -> hyper-parameters that are not the defaults.
    """

    methods: Sequence[str] = ()
    criterion: str | None = CRITERIA[0]
    settings: Mapping[str, Mapping[str, Any]] = {}


def parse_settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return method -> hyper-parameters of texts like `combined.model=models/corel5k/hard`; values are YAML.

    Raises:
        UsageError: a text is not like that.
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        method, dot, name = target.rpartition(".")
        try:
            known = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not (method and dot and name and equals):
            raise UsageError(f"--set {text!r} is not METHOD.PARAMETER=VALUE, as in knn.k=40")
        settings.setdefault(method, {})[name] = known
    return settings


def comparison_paths(project: Project, dataset: str) -> ComparisonPaths:
    """Return where the comparison on a data set reads and writes in a project."""
    return ComparisonPaths(
        project.features(dataset),
        project.prepared(dataset),
        project.compared_scores(dataset),
        project.comparison(dataset),
        project.work("compare", dataset),
    )


def compare(
    dataset: str, params: ParamsFile, paths: ComparisonPaths, selection: MethodSelection, report: Reporter
) -> Comparison:
    """Run the selected methods, and publish their results and those finished before on the same features.

    A method that fails has a row that says why, as has one that takes no unknown labels where the data set has some;
    only if it was named has that failed. Rows that were made with other settings, code or libraries are kept if
    their methods are not selected, and named.

    Raises:
        UsageError: there is no method, hyper-parameter or criterion of a name, or no such features.
        AaamError: methods failed; all others are published.
    """
    k, refit = params.section(f"{dataset}.k", LabelCount), params.is_refitted(dataset)
    known = names()
    for name in [*selection.methods, *selection.settings]:
        create(name, **selection.settings.get(name, {}))
    check_criterion(selection.criterion or CRITERIA[0])
    features = read_manifest(paths.features)
    partial = bool((read_split(paths.prepared, "train").targets_NL == UNKNOWN).any())
    inputs = fingerprint([features.hash, k])
    identity = [features.hash, k, refit, selection.criterion, sources_fingerprint(CODE), _versions()]
    results, earlier = [], []
    with exclusive(paths.work):
        for name in known:
            own = dict(selection.settings.get(name, {}))
            key = fingerprint([name, own, *identity, *plugin_identity(name)])
            scores = paths.work / f"{name}.parquet"
            job = MethodJob(name, own, key, inputs, paths.features, paths.prepared, k, scores, refit)
            result = _finished(job)
            if not (result and result.fingerprint == key):
                if name in selection.methods or not selection.methods:
                    refuses = partial and not create(name, **own).partial_labels
                    result = _refused(job, report) if refuses else _run(job, selection.criterion, report)
                elif result:
                    earlier.append(name)
            if result:
                results.append(result)
        comparison = Comparison(
            dataset, k, features.model, features.dimension,
            {split: info.images for split, info in features.files.items()}, _threads(), results, earlier,
        )  # fmt: skip
        _publish(comparison, paths)
    if earlier:
        report.info(f"kept as an earlier run made them, with other settings, code or libraries: {', '.join(earlier)}")
    failed = [each.name for each in results if each.error and (each.error != REFUSAL or each.name in selection.methods)]
    if failed:
        raise AaamError(f"{len(failed)} of {len(results)} methods failed: {', '.join(failed)}; see {paths.report}")
    return comparison


def _finished(job: MethodJob) -> MethodResult | None:
    """Return what an earlier run found with the same features, labels and k, unless it failed."""
    try:
        result = msgspec.json.decode(job.scores.with_suffix(".json").read_bytes(), type=MethodResult)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return result if result.inputs == job.inputs and job.scores.is_file() else None


def _refused(job: MethodJob, report: Reporter) -> MethodResult:
    report.info(f"{job.name}: {REFUSAL}")
    return MethodResult(job.name, job.fingerprint, error=REFUSAL)


def _run(job: MethodJob, criterion: str | None, report: Reporter) -> MethodResult:
    """Tune and run a method, and keep its result."""
    try:
        report.info(f"{job.name}: {create(job.name, **job.params)}")
        trials, chosen, seconds = in_process(tune_method, job, criterion) if criterion else ([], {}, 0.0)
        result = in_process(run_method, job, chosen)
    except (AaamError, MemoryError) as error:
        report.info(f"{job.name}: {error or 'not enough memory'}")
        return MethodResult(job.name, job.fingerprint, error=str(error) or "not enough memory")
    result.trials, result.seconds_tune = trials, seconds
    write_json(job.scores.with_suffix(".json"), result)
    report.info(
        f"{job.name}: validation mAP {result.val['map']:.4f}, test mAP {result.test['map']:.4f}, fit "
        f"{result.seconds_fit:.1f} s, predict {result.seconds_predict:.1f} s, {result.peak_bytes / 1e9:.1f} GB"
    )
    return result


def in_process(work: Callable[..., Result], *arguments: Any) -> Result:
    """Return what `work` returns in a new process.

    Raises:
        AaamError: the process was ended from outside; and what `work` raises.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            raise AaamError("its process was killed, for memory most likely") from None


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or available_cores())


def _versions() -> list[str]:
    versions = []
    for name in LIBRARIES:
        # not all methods need all of them
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return versions


def _publish(comparison: Comparison, paths: ComparisonPaths) -> None:
    folder = work_folder(paths.scores)
    for result in comparison.methods:
        if not result.error:
            shutil.copyfile(paths.work / f"{result.name}.parquet", folder / f"{result.name}.parquet")
    publish(folder, paths.scores)
    write_json(paths.report, comparison)
