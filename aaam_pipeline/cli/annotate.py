"""`aaam-pipe annotate`. Each option that is a field of `options.Options` or `options.Selection` has its name."""

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer import Option

from aaam_pipeline.annotate.options import Assignment, BackendName, EngineName, OnExisting, Options, Selection
from aaam_pipeline.cli import continued, defaults
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.artifacts import real_path
from aaam_pipeline.core.errors import MissingFilesError, UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.annotate.inputs import InputItem
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.formats.parts import AnnotationsManifest

Images = Annotated[
    list[str],
    typer.Argument(
        help="Folders, image files, globs ('photos/**/*.jpg'), lists of paths or URLs (.txt .csv .parquet, - for "
        "standard input), WebDataset shards (.tar); also on s3://, gs://, http(s)://."
    ),
]
BatchSize = Annotated[int, Option(min=1, help="Images that the model sees at once.", envvar="AAAM_BATCH_SIZE")]
NumWorkers = Annotated[
    int | None,
    Option(
        min=0,
        help="Decoding processes; 0: none of their own. Default: one a core it may use.",
        envvar="AAAM_NUM_WORKERS",
    ),
]
Backend = Annotated[
    BackendName,
    Option(help="What runs the model. auto: OpenVINO on a CPU.", envvar="AAAM_BACKEND"),
]
Top = Annotated[int | None, Option("--top", "-t", min=1, help="At most K labels an image; alone: its K best ones.")]
Threshold = Annotated[
    float | None, Option(min=0, max=1, help="Assign labels from this score on. Default: the model's own, one a label.")
]
Exclude = Annotated[
    list[str] | None,
    Option(help="Leave out what matches: a name, or a path below the folder ('*.gif', 'raw/*'). Repeatable."),
]
AllFolders = Annotated[
    bool, Option("--all-folders", help="Search folders of systems and programs, too (@eaDir, $RECYCLE.BIN, *.lrdata).")
]
Column = Annotated[
    str | None, Option(help="Column of a CSV or Parquet list that holds the paths. Default: path, SourceFile, file ...")
]
IfExisting = Annotated[OnExisting, Option(help="If --out exists: resume and update it, replace it, or stop.")]
RetryFailed = Annotated[
    bool, Option("--retry-failed", help="Try all images again that failed, not only unreadable ones.")
]
Forget = Annotated[bool, Option("--forget", help="Drop every row whose image is not among the inputs.")]
Root = Annotated[
    list[str] | None,
    Option(help="OLD=NEW: a folder of earlier inputs has another name now. Its rows are renamed. Repeatable."),
]
MaxFailureRate = Annotated[float, Option(min=0, max=1, help="Exit with 3 when a larger share of the images failed.")]
Timeout = Annotated[float, Option(min=0.1, help="Seconds to read and decode one image.")]
MaxPixels = Annotated[
    int | None,
    Option(
        min=1,
        help="Refuse larger pictures; JPEG, which is decoded at reduced scale, may have four times as many pixels. "
        "Default: 268 million.",
        show_default=False,
    ),
]
AcceptTruncated = Annotated[
    bool, Option("--accept-truncated", help="Annotate pictures that lack rows by the rows that are there.")
]
RayAddress = Annotated[str | None, Option(help="Address of the Ray cluster. Default: one is started on this machine.")]

log = logging.getLogger(__name__)

Kind = TypeVar("Kind")
DEFAULTS, SELECTION = Options(), Selection()
# folders that cannot be listed; of more the number is said
MOST_NAMED = 5
# images that failed and are named at the end
MOST_FAILED = 3
# a larger share of unfamiliar images is said at the end: of photographs like those of training, one in a hundred is
MANY_UNFAMILIAR = 0.03


def annotate(
    context: typer.Context,
    images: Images,
    out: Annotated[Path, Option(help="Folder to write the annotations to.")] = HERE.annotations,
    model: defaults.Model = None,
    batch_size: BatchSize = DEFAULTS.batch_size,
    num_workers: NumWorkers = DEFAULTS.num_workers,
    device: defaults.Device = DEFAULTS.device,
    backend: Backend = DEFAULTS.backend,
    top: Top = DEFAULTS.assignment.top,
    threshold: Threshold = DEFAULTS.assignment.threshold,
    recursive: Annotated[bool, Option(help="Search the folders in a folder.")] = SELECTION.recursive,
    hidden: Annotated[bool, Option("--hidden", help="Take names that begin with a dot, too.")] = SELECTION.hidden,
    all_folders: AllFolders = SELECTION.all_folders,
    exclude: Exclude = None,
    column: Column = SELECTION.column,
    limit: Annotated[int | None, Option(min=1, help="Only the first N images.")] = SELECTION.limit,
    on_existing: IfExisting = DEFAULTS.on_existing,
    retry_failed: RetryFailed = DEFAULTS.retry_failed,
    forget: Forget = DEFAULTS.forget,
    root: Root = None,
    max_failure_rate: MaxFailureRate = DEFAULTS.max_failure_rate,
    timeout: Timeout = DEFAULTS.timeout,
    max_pixels: MaxPixels = None,
    accept_truncated: AcceptTruncated = DEFAULTS.accept_truncated,
    part_size: Annotated[int, Option(min=1, help="Rows of one Parquet file.")] = DEFAULTS.part_size,
    engine: Annotated[EngineName, Option(help="This machine, or a Ray cluster.")] = DEFAULTS.engine,
    ray_address: RayAddress = DEFAULTS.ray_address,
    decisions: defaults.Decisions = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Annotate photographs: one row with labels and scores for every image, as Parquet.

    Every input gets a row; one that cannot be decoded is a row that says why. The same command, given again, resumes
    a stopped run, or updates the annotations: new, changed and deleted images.
    """
    from aaam_pipeline.annotate import inputs, runner
    from aaam_pipeline.annotate.known_places import known_as
    from aaam_pipeline.models import adding

    given = context.params | {"decisions": _ledger(decisions, out)}
    options = _fill(Options, given)._replace(assignment=_fill(Assignment, given))
    selection, skipped = _fill(Selection, given), Counter[str]()
    _check_moved(options.root)
    bundle, options = _model(model, out, options, quiet)
    scope = inputs.Scope(selection=selection)
    found = inputs.find(images, selection, skipped, scope, partial(known_as, out=out))
    found = _naming_unreadable(found, skipped)
    with reporter(quiet) as report:
        options, relabelled = continued.adapt(out, bundle, options, report, dry_run)
        if dry_run:
            counts, held = runner.preview(found, bundle, out, options, report, scope, relabelled)
            print(counts if counts.changes or counts.outside or counts.missing else "nothing to do")
            if held:
                raise MissingFilesError(held)
            return
        adding.keep_starter(bundle)
        runner.annotate(found, bundle, out, options, report, scope, partial(_summarize, out, skipped, report))
        report.info(f"next: aaam-pipe index {out}")


def _ledger(named: Path | None, out: Path) -> Path:
    """Return the ledger named, that beside the annotations, or where there is none, that beside the newest index."""
    found = defaults.decisions(named, out)
    return found if named or found.exists() else defaults.decisions(None, defaults.newest_index())


def _summarize(out: Path, skipped: Mapping[str, int], report: "Reporter", made: "AnnotationsManifest") -> None:
    images = counted(made.inputs, "image")
    log.info("left out of the inputs: %s", dict(skipped) or "none")
    report.info(f"{out}: {made.successes} of {images} annotated, {_counts(made.failures, 'failed')}")
    for note in _failed(out, made):
        report.info(note)
    if made.unfamiliar > MANY_UNFAMILIAR * made.judged:
        report.info(
            f"{made.unfamiliar} of {made.judged} images are unlike all that the model was trained with: their labels "
            "mean little, and their rows say so (unfamiliar)"
        )
    from aaam_pipeline.annotate.inputs import SIDECAR

    # sidecars belong to photographs: nobody misses them
    if others := {kind: count for kind, count in skipped.items() if kind != SIDECAR}:
        report.info(_left_out(others))


def _model(named: Path | None, out: Path, options: Options, quiet: bool) -> tuple[Path, Options]:
    """Return the bundle, and the options with the backend, that annotations in `out` go on with or begin with."""
    from aaam_pipeline.annotate import kept_model
    from aaam_pipeline.models import library

    chosen = None if named else defaults.default_model()
    bundle = defaults.model(named) if named else chosen and chosen.folder
    if options.on_existing == "resume":
        others = None if named else library.folders(Path.cwd())
        if kept := kept_model.find(out, options.backend, options.device, bundle, others):
            if not quiet:
                other = chosen and chosen.folder != kept.folder
                instead = f", not {chosen.name}: --on-existing overwrite takes that" if chosen and other else ""
                said = f"model: {kept.model_id}, with which {out} was made{instead}"
                print(printable(said), file=sys.stderr)
            return kept.folder, options._replace(backend=kept.backend)
    return defaults.model(named, quiet), options


def _check_moved(roots: Iterable[str]) -> None:
    from aaam_pipeline.annotate.inputs import is_url
    from aaam_pipeline.formats.roots import MovedRoot

    for moved in map(MovedRoot.parse, roots):
        if not is_url(moved.new) and not real_path(Path(moved.new)).is_dir():
            raise UsageError(f"--root: no folder {moved.new}")


def _left_out(skipped: Mapping[str, int]) -> str:
    system = any(kind.startswith("system") for kind in skipped)
    also = "; --all-folders takes those of the system" if system else ""
    names = "name" if sum(skipped.values()) == 1 else "names"
    return f"left out of the inputs: {_counts(skipped, names)}{also}"


def _naming_unreadable(found: "Iterator[InputItem]", skipped: Mapping[str, int]) -> "Iterator[InputItem]":
    """Yield the inputs; say on stderr, also with `--quiet`, which folders cannot be listed."""
    named = 0
    for item in found:
        if skipped.get("unreadable folder", 0) > named:
            named += 1
            if named <= MOST_NAMED:
                folder = printable(f"{item.root}/{item.path}")
                print(f"cannot list {folder}: its pictures are missing, a failed row says so", file=sys.stderr)
        yield item
    if named > MOST_NAMED:
        print(f"cannot list {named} folders; a failed row stands for each", file=sys.stderr)


def _failed(out: Path, made: "AnnotationsManifest") -> Iterator[str]:
    """Yield which images failed, the first ones by name, and when they are tried again."""
    from aaam_pipeline.annotate.failures import first_failures

    for location, message in first_failures(out, made.parts, MOST_FAILED):
        yield f"failed: {location}: {message}"
    if sum(made.failures.values()) > MOST_FAILED:
        yield f"all of them: SELECT path, error_message FROM '{out}/*.parquet' WHERE status = 'failed'"
    if note := _again(made.failures):
        yield note


def _again(kinds: Mapping[str, int]) -> str:
    """Say which failures are tried again by which run."""
    from aaam_pipeline.annotate.failures import PASSING

    passing = sum(count for kind, count in kinds.items() if kind in PASSING)
    final = sum(kinds.values()) - passing
    said = [f"the next run tries {passing} of them again"] if passing else []
    said += [f"--retry-failed tries {'also the others' if passing else 'them'} again"] if final else []
    return ", ".join(said)


def _fill(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """Make a named tuple of the options that have its fields' names; None leaves a field as it is by default."""
    fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return kind(**{name: given[name] for name in fields if given.get(name) is not None})


def _counts(counts: Mapping[str, int], what: str) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"{sum(counts.values())} {what} ({kinds})" if counts else f"none {what}"
