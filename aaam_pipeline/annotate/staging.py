"""The staging folder `<out>.partial`: where annotations are made until they are whole.

    plan.json        what is being made, and from what; written last of all, so that without it there is no plan
    todo.parquet     the inputs to be annotated, one row group for each part that they will make
    replaced.parquet the rows that these inputs had before, for those that cannot be read any more by then
    rows/            the folder that will be published: parts that were kept come first, then those that are made

A run that is killed leaves a plan and some parts; the same command resumes there. When the inputs are others by then, a
new plan is made on top of those parts (the staging folder is called `<out>.partial.old` meanwhile).
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from aaam_pipeline.annotate import failures, kept_rows
from aaam_pipeline.annotate.changes import ChangeDetector
from aaam_pipeline.core.artifacts import (
    PARTIAL,
    fingerprint,
    publish,
    read_checksummed,
    sync,
    work_folder,
    write_checksummed,
)
from aaam_pipeline.core.errors import AaamError, IntegrityError, VersionError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import (
    READABLE,
    VERSION,
    AnnotationsManifest,
    PartStats,
    find_manifest,
    manifest_path,
    part_path,
    read_annotations_manifest,
    read_stats,
)

PLAN = "plan.json"


class RunPlan(msgspec.Struct, frozen=True):
    """`plan.json`. `manifest`: as far as it is known before; `base`: the annotations built on or replaced, by hash.

    `fresh`: no earlier rows were used; `retry_failed`: rows that had failed were not kept; `forget`: nor those without
    an input; `root`: places that were moved; `retries`: what failed is tried again, and nothing else is done; `held`:
    which rows stay although their files are not found.
    """

    manifest: AnnotationsManifest
    listing_hash: str
    fresh: bool
    retry_failed: bool
    part_size: int
    base: str
    forget: bool = False
    root: list[str] = []
    retries: bool = False
    held: str = ""
    kept_parts: int = 0
    hash: str = ""

    @property
    def id(self) -> str:
        """Identify the plan: the manifest of what it makes names it."""
        return fingerprint(msgspec.to_builtins(self))


class ExistingAnnotations(NamedTuple):
    """Annotations that a plan can build on: a folder of parts, which of them are whole, and what they are."""

    rows: Path
    numbers: list[int]
    manifest: AnnotationsManifest

    @property
    def parts(self) -> list[Path]:
        """Where the parts lie."""
        return [part_path(self.rows, number) for number in self.numbers]


class StagingDir:
    """The staging folder of one output. Whoever uses it holds the output's lock."""

    def __init__(self, out: Path) -> None:
        """Look at what an earlier run left beside `out`; nothing is made yet."""
        self.out = out.resolve() if out.is_symlink() or out.name in ("", "..") else out
        self.folder = self.out.with_name(f"{self.out.name}{PARTIAL}")
        self.old = self.out.with_name(f"{self.out.name}{PARTIAL}.old")
        # absolute: pyarrow takes a relative name such as `s3:x` for a URL
        self.rows = self.folder / "rows"
        self.todo, self.replaced = ((self.folder / f"{name}.parquet").absolute() for name in ("todo", "replaced"))
        self.plan = _read_plan(self.folder)
        # killed between publishing and cleaning up
        self._is_published = self.plan is not None and _published_plan(self.out) == self.plan.id
        if self._is_published:
            self.plan = None

    def interrupted(self) -> ExistingAnnotations | None:
        """Return what an interrupted run finished; None where there is none.

        Raises:
            VersionError: it was one of a newer version of this program.
        """
        for folder in (self.folder, self.old):
            if _is_newer(folder):
                raise VersionError(
                    f"an interrupted run of a newer version of aaam-pipe lies in {folder}; finish it with that, choose "
                    "another --out, or drop it with --on-existing overwrite"
                )
        if self.plan:
            return ExistingAnnotations(self.rows, finished_parts(self.rows), self.plan.manifest)
        before = None if self._is_published else _read_plan(self.old)
        if before is None:
            return None
        return ExistingAnnotations(self.old / "rows", finished_parts(self.old / "rows"), before.manifest)

    def published(self) -> ExistingAnnotations | None:
        """Return the annotations that are there, whole; None where there are none."""
        if not find_manifest(self.out).is_file():
            return None
        manifest = read_annotations_manifest(self.out)
        return ExistingAnnotations(self.out, list(range(manifest.parts)), manifest)

    def discard(self) -> None:
        """Remove what earlier runs left."""
        # while the plan in `folder` stands, nobody needs `old`
        _remove(self.old)
        _remove(self.folder)
        self.plan = None

    def begin(self, plan: RunPlan, detector: ChangeDetector, existing: Sequence[ExistingAnnotations]) -> None:
        """Put the rows of `existing` that stay into a new staging folder, then what is to be done, then the plan."""
        if not existing or existing[0].rows != self.old / "rows":
            _remove(self.old)
        if existing and existing[0].rows == self.rows:
            self.folder.rename(self.old)
            existing = [existing[0]._replace(rows=self.old / "rows"), *existing[1:]]
        _remove(self.folder)
        work_folder(self.out)
        self.rows.mkdir()
        parts = [part for each in existing for part in each.parts]
        kept = kept_rows.keep(parts, detector, self.rows, plan.part_size)
        kept_rows.write_replaced(parts, detector, self.replaced)
        detector.write_todo(self.todo, plan.part_size)
        # a plan that outlives a power cut must not name files that did not
        sync(self.folder)
        self.plan = write_checksummed(self.folder / PLAN, msgspec.structs.replace(plan, kept_parts=kept))
        _remove(self.old)

    def held(self) -> str:
        """Return in one line which rows stay that pictures had before, "" where none do."""
        assert self.plan is not None
        count = kept_rows.count_put_back(self._made(), self.replaced)
        unread = f"{counted(count, 'image')} could not be read any more, earlier rows stay; annotate again"
        return ". And ".join([*filter(None, [self.plan.held]), *[unread] * bool(count)])

    def publish(self) -> AnnotationsManifest:
        """Write the manifest and publish the rows as the output; leave that as it is if all failed again as before.

        Raises:
            IntegrityError: there is not one row for every input.
        """
        assert self.plan is not None
        total = total_stats(self.rows)
        if total.count != self.plan.manifest.inputs:
            raise IntegrityError(
                f"{self.rows} holds {total.count} rows for {self.plan.manifest.inputs} inputs; "
                "annotate again with --on-existing overwrite"
            )
        published = self.published() if self.plan.retries else None
        if published and failures.same_outcome(self._made(), published.parts):
            self.discard()
            return published.manifest
        embedding = part_files.read_part(part_path(self.rows, 0), ["embedding"]).schema.field(0)
        manifest = msgspec.structs.replace(
            self.plan.manifest,
            embedding_dim=embedding.type.list_size,
            inputs_hash=total.inputs_hash,
            plan=self.plan.id,
            parts=len(finished_parts(self.rows)),
            **{name: getattr(total, name) for name in ("successes", "failures", "judged", "unfamiliar")},
        )
        manifest = write_checksummed(manifest_path(self.rows), manifest)
        publish(self.rows, self.out)
        self.discard()
        return manifest

    def _made(self) -> list[Path]:
        assert self.plan is not None
        return [part_path(self.rows, number) for number in finished_parts(self.rows) if number >= self.plan.kept_parts]


@contextmanager
def write_errors(out: Path) -> Iterator[None]:
    """Say where the disk was full: the error of a write itself names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            again = "what was finished is kept, run the same command again to resume"
            raise AaamError(f"cannot write {out}: {error.strerror or error}; {again}") from error
        raise


@contextmanager
def read_errors(out: Path) -> Iterator[None]:
    """Say what can be done about annotations that are damaged."""
    try:
        yield
    except IntegrityError as error:
        # what another version wrote is whole
        if isinstance(error, VersionError) or "--on-existing" in str(error):
            raise
        look = f"aaam-pipe verify {out} shows the damage, --on-existing overwrite annotates all again"
        raise IntegrityError(f"{error}; {look}") from None


def finished_parts(rows: Path) -> list[int]:
    """Return the numbers of the parts that are whole, in order."""
    numbers = (int(path.stem.removeprefix("part-")) for path in rows.glob("part-*.parquet"))
    return sorted(number for number in numbers if part_files.is_finished(part_path(rows, number)))


def total_stats(rows: Path) -> PartStats:
    """Return the sums over the parts that are whole; there is no sum of the hashes of files."""
    parts = [read_stats(part_path(rows, number)) for number in finished_parts(rows)]
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update(part.failures)
    summed = ("count", "successes", "judged", "unfamiliar")
    return PartStats(
        **{name: sum(getattr(part, name) for part in parts) for name in summed},
        failures=dict(sorted(failures.items())),
        sha256="",
        inputs_hash=f"{sum(int(part.inputs_hash, 16) for part in parts) % 2**128:032x}",
    )


def _remove(folder: Path) -> None:
    """Remove a staging folder, its plan first: a plan never stands over parts that are half gone."""
    if folder.exists():
        (folder / PLAN).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _read_plan(folder: Path) -> RunPlan | None:
    try:
        plan = read_checksummed(folder / PLAN, RunPlan, "a work folder")
    except AaamError:
        # there is none, it is damaged, or of another version of this program
        return None
    return plan if plan.manifest.schema_version in READABLE else None


def _is_newer(folder: Path) -> bool:
    try:
        return read_checksummed(folder / PLAN, RunPlan, "a work folder").manifest.schema_version > VERSION
    except VersionError:
        return True
    except AaamError:
        return False


def _published_plan(out: Path) -> str:
    try:
        return read_annotations_manifest(out).plan
    except AaamError:
        return ""
