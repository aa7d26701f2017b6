"""`aaam-pipe annotate` and the stage `annotate`: sources -> reader -> mapper -> writer -> a published folder.

The work lies in `<out>.partial` until it is whole. What is there of the very same work is gone on with: a run that was
killed loses at most the part it was writing.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import reader, sources, writer
from aaam_pipeline.annotate.mapper import Assignment, Mapper
from aaam_pipeline.annotate.reader import Image
from aaam_pipeline.annotate.sources import Source
from aaam_pipeline.core.artifacts import fingerprint, foreign, publish, read_json, work_folder, write_json
from aaam_pipeline.core.errors import FailureRateError, ImageError, UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.schema import VERSION, AnnotationsManifest
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.models import bundle

OnExisting = Literal["resume", "overwrite", "error"]


class Options(NamedTuple):
    """How to annotate. `num_workers` None: one decoding thread a core."""

    batch_size: int = 32
    num_workers: int | None = None
    device: str = "auto"
    assignment: Assignment = Assignment()
    on_existing: OnExisting = "resume"
    max_failure_rate: float = 0.1
    part_size: int = 1024


def annotate(
    inputs: Sequence[Source], model: Path, out: Path, options: Options, report: Reporter
) -> AnnotationsManifest:
    """Annotate every input with the bundle `model` into the folder `out`; return its manifest.

    Raises:
        UsageError: `out` holds other work, or cannot be written; the model or the device is not there.
        IntegrityError: the bundle is damaged.
        FailureRateError: all is written, but more than `max_failure_rate` of the images failed.
    """
    # the bundle is read before anything is written: a wrong --model leaves nothing behind
    loaded = bundle.load(model, bundle.choose_device(options.device))
    mapper = Mapper(loaded, options.assignment)
    manifest = _plan(inputs, mapper, options)
    if _finished(out, manifest, options.on_existing):
        report.say(f"{out} is complete: {manifest.inputs} images, same model and settings; nothing to do")
        return _check_failures(read_json(out / "manifest.json", AnnotationsManifest, "an annotations folder"), options)
    work = _open_work(out, manifest, report)
    report.say(f"annotating {len(inputs)} images on {mapper.device} with {loaded.info.model_id} ({model})")
    _fill(work, inputs, mapper, options, report)

    parts = writer.finished_parts(work)
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update(part.failures)
    manifest = msgspec.structs.replace(
        manifest,
        parts=len(parts),
        successes=sum(part.successes for part in parts),
        failures=dict(sorted(failures.items())),
    )
    write_json(work / "manifest.json", manifest)
    publish(work, out)
    return _check_failures(manifest, options)


def embed(model: Path, device: str, photo: Path) -> tuple[str, NDArray[np.float32]]:
    """Return the model's id and the embedding (D,) of one photograph.

    Raises:
        UsageError: the photograph cannot be read.
    """
    mapper = Mapper(bundle.load(model, bundle.choose_device(device)))
    picture = reader.read_one(sources.source(photo.absolute(), photo.absolute().parent), mapper.bundle.info.preprocess)
    if isinstance(picture.picture, ImageError):
        raise UsageError(f"{photo}: {picture.picture}")
    return mapper.bundle.info.model_id, mapper.predict([picture.picture.pixels_SS3])[1][0]


def _plan(inputs: Sequence[Source], mapper: Mapper, options: Options) -> AnnotationsManifest:
    """Return the manifest as far as it is known before the work: it identifies the work."""
    info = mapper.bundle.info
    settings: dict[str, Any] = {**options.assignment._asdict(), "part_size": options.part_size}
    return AnnotationsManifest(
        schema_version=VERSION,
        model_id=info.model_id,
        model_path=str(mapper.bundle.folder.absolute()),
        vocabulary=info.vocabulary,
        vocabulary_hash=Vocabulary(info.vocabulary).hash,
        thresholds=info.thresholds,
        embedding_dim=mapper.bundle.network.embedding_dim,
        settings=settings,
        settings_hash=fingerprint([VERSION, info.model_id, settings]),
        roots=list(dict.fromkeys(source.root for source in inputs)),
        inputs=len(inputs),
        inputs_hash=sources.inputs_hash(inputs),
    )


def _finished(out: Path, plan: AnnotationsManifest, on_existing: OnExisting) -> bool:
    """Tell whether `out` already holds just this work; refuse to touch other work unless told to overwrite it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / "manifest.json").is_file() or foreign(out, "manifest.json", "part-*"):
        raise UsageError(f"{out} exists and is not an annotations folder; choose another --out")
    if on_existing == "overwrite":
        return False
    if on_existing == "error":
        raise UsageError(f"{out} exists; choose another --out, or --on-existing resume or overwrite")
    difference = _difference(read_json(out / "manifest.json", AnnotationsManifest, "an annotations folder"), plan)
    if difference:
        raise UsageError(f"{out} holds other work ({difference}); choose another --out or --on-existing overwrite")
    return True


def _open_work(out: Path, plan: AnnotationsManifest, report: Reporter) -> Path:
    """Return the work folder, with the parts of an interrupted run where they are of this very work."""
    work = work_folder(out, resume=True)
    if (work / "manifest.json").is_file():
        before = read_json(work / "manifest.json", AnnotationsManifest, "an annotations folder")
        if not _difference(before, plan):
            done = sum(part.count for part in writer.finished_parts(work))
            report.say(f"going on with an interrupted run: {done} of {plan.inputs} images are done")
            return work
    work = work_folder(out)
    # says that there are no parts: nobody can take the work folder for finished annotations
    write_json(work / "manifest.json", plan)
    return work


def _difference(before: AnnotationsManifest, plan: AnnotationsManifest) -> str:
    """Say in words how two pieces of work differ; empty where they do not."""
    if before.model_id != plan.model_id:
        return f"model {before.model_id}, not {plan.model_id}"
    if (before.vocabulary, before.thresholds) != (plan.vocabulary, plan.thresholds):
        return "labels or thresholds that the model had before"
    if before.settings_hash != plan.settings_hash:
        return f"settings {before.settings}, not {plan.settings}"
    if before.roots != plan.roots:
        return f"images of {', '.join(before.roots)}"
    if before.inputs_hash != plan.inputs_hash:
        return f"{before.inputs} images, now {plan.inputs}, or some of them have changed"
    return ""


def _fill(work: Path, inputs: Sequence[Source], mapper: Mapper, options: Options, report: Reporter) -> None:
    """Annotate what the finished parts in `work` do not hold yet."""
    finished = writer.finished_parts(work)
    remaining = inputs[sum(part.count for part in finished) :]
    workers = (os.cpu_count() or 1) if options.num_workers is None else options.num_workers
    rows = writer.Writer(work, mapper.schema, options.part_size, first_part=len(finished))
    images = reader.read(remaining, mapper.bundle.info.preprocess, workers, ahead=2 * options.batch_size + workers)
    with report.task("annotate", len(inputs)) as advance:
        advance(len(inputs) - len(remaining))
        for batch in _batches(images, options.batch_size):
            rows.add(mapper(batch))
            advance(len(batch))
    rows.close()


def _batches(images: Iterator[Image], size: int) -> Iterator[list[Image]]:
    while batch := list(islice(images, size)):
        yield batch


def _check_failures(manifest: AnnotationsManifest, options: Options) -> AnnotationsManifest:
    failed = sum(manifest.failures.values())
    if failed > options.max_failure_rate * manifest.inputs:
        kinds = ", ".join(f"{count} {kind}" for kind, count in manifest.failures.items())
        raise FailureRateError(
            f"{failed} of {manifest.inputs} images failed ({kinds}), more than --max-failure-rate "
            f"{options.max_failure_rate:g}; their rows say why"
        )
    return manifest
