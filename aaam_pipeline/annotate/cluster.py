"""The engine for more than one machine: Ray Data hands parts to actors that each hold a model and decoding processes.

What travels through Ray is numbers of parts and counts. Images are read, and parts written, by the actor itself, so the
inputs, the model and the output must have the same paths on all machines. A part that is done is never made again:
an actor that dies loses what it was making, and Ray starts another one.
"""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends
from aaam_pipeline.annotate.parts import AnnotateJob, PartMaker
from aaam_pipeline.core import errors
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.extras import how_to_install
from aaam_pipeline.core.logging import debugging
from aaam_pipeline.core.progress import Advance, Reporter, ignore
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import part_path, read_stats

# parts given to an actor at once: while it makes one it reads the images of the next
AT_ONCE = 4
# only numbers lie in Ray's shared memory; this is nearly the least that Ray accepts
OBJECT_STORE_BYTES = 100 * 2**20
# before Ray is imported: no telemetry, and Ray Data does not print its plans
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_LOG_LEVEL": "CRITICAL"}
# Ray itself would try for minutes
CONNECT_SECONDS = 10.0

Batch = dict[str, NDArray[np.int64]]


class RayPartMaker:
    """What an actor runs: the same `PartMaker` as on one machine."""

    def __init__(self, job: AnnotateJob, model_id: str) -> None:
        """Load the model and start the decoding processes; they end with the actor.

        Raises:
            AaamError: the model cannot be loaded, or is another here than where the run was started.
        """
        self._maker = PartMaker(job).__enter__()
        here, options = self._maker.mapper.info.model_id, job.options
        if here != model_id:
            raise UsageError(
                f"--backend {options.backend} --device {options.device} is model {here} on one machine and {model_id} "
                "on another; name the backend and the device that all of them have"
            )

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """Make parts; yield each one's counts as soon as it is done."""
        numbers = batch["part"].tolist()
        paths = {number: part_path(self._maker.job.rows, number) for number in numbers}
        # some are there where an actor died that made them
        missing = [number for number in numbers if not part_files.is_finished(paths[number])]
        made = self._maker.make(missing, ignore)
        for number in numbers:
            stats = next(made) if number in missing else read_stats(paths[number])
            yield {"count": np.array([stats.count]), "failed": np.array([stats.count - stats.successes])}


def run(job: AnnotateJob, numbers: Sequence[int], advance: Advance, report: Reporter) -> None:
    """Make the parts `numbers` on the cluster at the options' `ray_address`, or on this machine alone.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
        AaamError: the actors cannot work.
    """
    # actors stand in other folders
    job = job._replace(rows=job.rows.absolute(), todo=job.todo.absolute(), model=job.model.absolute())
    model_id = backends.model_info(job.options.backend, job.model, job.options.device).model_id
    ray = _import()
    with _quietly():
        try:
            _connect(ray, job.options.ray_address)
            share = _share([node["Resources"] for node in ray.nodes() if node["Alive"]], job.options.device)
            report.info(f"annotating with {model_id} ({job.model}) on Ray: {share}")
            for row in _made(ray, job, model_id, numbers, share).iter_rows():
                advance(row["count"], row["failed"])
        except ray.exceptions.RayError as error:
            raise _cause(error) from None
        finally:
            ray.shutdown()


def _made(ray: Any, job: AnnotateJob, model_id: str, numbers: Sequence[int], share: "Share") -> Any:
    """Return the data set of the parts' counts, which is made while it is read."""
    job = job._replace(options=job.options._replace(num_workers=job.options.num_workers or share.cpus))
    at_once = max(1, min(AT_ONCE, len(numbers) // (4 * share.actors)))
    blocks = -(-len(numbers) // at_once)
    items = ray.data.from_items([{"part": number} for number in numbers], override_num_blocks=blocks)
    return items.map_batches(
        RayPartMaker,
        fn_constructor_args=(job, model_id),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=share.actors),
        num_cpus=share.cpus,
        num_gpus=share.gpus,
    )


def _import() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError(f"--engine ray: ray is not installed: {how_to_install('ray')}") from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        token = "; it wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too"
        hint = token if "AuthToken" in str(error.__context__) else ""
        raise UsageError(f"no Ray cluster at {address}: {str(error).splitlines()[0]}{hint}") from None
    ray.data.DataContext.get_current().enable_progress_bars = False


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        # "local", "auto", or something that Ray will refuse
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster at {address}: {error}") from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep away from the user what Ray prints on stdout, and what its C++ side writes on file 2 whatever is set.

    What this program prints on `sys.stderr` is shown. Ray's log files hold the rest; AAAM_DEBUG shows all.
    """
    if debugging():
        yield
        return
    shown = sys.stderr
    shown.flush()
    kept = os.dup(2)
    with (
        Path(os.devnull).open("w") as nowhere,
        os.fdopen(kept, "w", buffering=1, encoding=shown.encoding, errors="backslashreplace") as stream,
        redirect_stdout(nowhere),
        # of Ray's own use of Ray
        warnings.catch_warnings(action="ignore"),
        # someone else's stream, a test's for one, is no file 2
        redirect_stderr(stream) if shown is sys.__stderr__ else nullcontext(),
    ):
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(kept, 2)


class Share(NamedTuple):
    """How many actors there are, and the CPUs and GPUs of each."""

    actors: int
    cpus: int
    gpus: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.actors} actor(s), each with {self.cpus} CPU(s)" + (" and a GPU" if self.gpus else "")


def _share(nodes: Sequence[dict[str, float]], device: str) -> Share:
    """Divide the machines among actors that are all alike: one for each GPU, else one for the CPUs of the smallest."""
    with_gpu = [] if device == "cpu" else [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpu:
        cpus = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpu)
        return Share(sum(int(node["GPU"]) for node in with_gpu), max(1, cpus), 1)
    counts = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not counts:
        raise UsageError("the Ray cluster has no CPUs to work with")
    return Share(sum(count // min(counts) for count in counts), min(counts), 0)


def _cause(error: Exception) -> AaamError:
    """Return the error that an actor raised; it is the last line of Ray's long messages."""
    line = str(error).strip().splitlines()[-1]
    name, _, message = line.removeprefix(f"{errors.__name__}.").partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, AaamError) and kind is not errors.ImageError:
        return kind(message)
    return AaamError(f"Ray: {line}")
