"""The work on parts, the same for every engine: items -> reader -> mapper -> a file.

A part is the unit of work: its inputs are one row group of `todo.parquet`, its rows are one file, its stats say that it
is done. So any engine, on any machine that sees the work folder, can make any part, and none is made twice.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from aaam_pipeline.annotate import backends, kept_rows, listing, reader
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.mapper import Mapper
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.reader import ReadImage
from aaam_pipeline.core.progress import Advance
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import PartStats, part_path
from aaam_pipeline.models.info import familiarity_of

log = logging.getLogger(__name__)


class AnnotateJob(NamedTuple):
    """All that an engine needs to make parts, wherever it runs. `first`: the number of the part of row group 0.

    `replaced`: the file of the rows that inputs of `todo` had before, where there are any.
    """

    rows: Path
    todo: Path
    replaced: Path
    first: int
    model: Path
    options: Options

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are still to be made."""
        numbers = range(self.first, self.first + pq.read_metadata(self.todo).num_row_groups)
        return [number for number in numbers if not part_files.is_finished(part_path(self.rows, number))]


class PartMaker:
    """Holds a model and decoding processes, and makes parts with them; a context manager."""

    def __init__(self, job: AnnotateJob, backend: Backend | None = None) -> None:
        """Use the model `backend`, or load the job's.

        Raises:
            AaamError: as `backends.create`.
        """
        self.job, self._options = job, job.options
        backend = backend or backends.create(self._options.backend, job.model, self._options.device)
        self.mapper = Mapper(backend, self._options.assignment, familiarity_of(job.model, backend.info))
        self._todo = pq.ParquetFile(job.todo)
        self._decoders: DecoderPool | None = None
        if self._options.num_workers:
            made, options = backend.info.preprocess, self._options
            setup = DecodeSetup(made.size, options.max_pixels, options.accept_truncated, made.interpolation)
            self._decoders = DecoderPool(setup, self._options.num_workers, self._options.timeout)

    def __enter__(self) -> Self:
        if self._decoders:
            self._decoders.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._decoders:
            self._decoders.__exit__(*error)
        self._todo.close()

    def make(self, numbers: Sequence[int], advance: Advance) -> Iterator[PartStats]:
        """Make parts; yield the stats of each when it is written. The next one is begun before."""
        log.info("%d parts are to be made, with %d decoding processes", len(numbers), self._options.num_workers)
        started = time.perf_counter()
        written: Future[PartStats] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="write") as pool:
            for number, batches in groupby(self._mapped(self._batches(numbers)), key=lambda item: item[0]):
                rows = []
                for _, batch in batches:
                    rows.append(batch)
                    advance(batch.num_rows, batch.num_rows - batch["error_type"].null_count)
                if written:
                    yield written.result()
                now = time.perf_counter()
                table = kept_rows.put_back(pa.Table.from_batches(rows), self.job.replaced)
                log.info("part %d: %d images in %.1f s", number, table.num_rows, now - started)
                written = pool.submit(part_files.write_part, part_path(self.job.rows, number), table)
                started = now
            if written:
                yield written.result()

    def _batches(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[ReadImage]]]:
        """Yield (part, images of one batch). A batch never reaches beyond its part: a part's rows are its own."""
        size = self._options.batch_size
        groups = [number - self.job.first for number in numbers]
        items = (item for group in groups for item in listing.to_items(self._todo.read_row_group(group)))
        images = self._decoders.read(items, 2 * size) if self._decoders else self._read(items)
        if not self._options.file_times:
            images = (image._replace(mtime=None, link_target=None) for image in images)
        for number, group in zip(numbers, groups, strict=True):
            count = self._todo.metadata.row_group(group).num_rows
            for start in range(0, count, size):
                yield number, list(islice(images, min(size, count - start)))

    def _read(self, items: Iterable[InputItem]) -> Iterator[ReadImage]:
        """Read in this process: slower, and a crash is a crash."""
        made, options = self.mapper.info.preprocess, self._options
        return (
            reader.read(item, made.size, options.max_pixels, options.accept_truncated, made.interpolation)
            for item in items
        )

    def _mapped(self, batches: Iterable[tuple[int, list[ReadImage]]]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield (part, rows of one batch), with the next batch already begun."""
        begun: deque[tuple[int, Callable[[], pa.RecordBatch]]] = deque()
        for number, images in batches:
            begun.append((number, self.mapper.start(images)))
            if len(begun) > 1:
                part, finish = begun.popleft()
                yield part, finish()
        for part, finish in begun:
            yield part, finish()
