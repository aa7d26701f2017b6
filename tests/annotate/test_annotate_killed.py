"""SIGKILL at any moment: nothing is lost but the part that was being written."""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import make_photo

from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.annotate.runner import Options
from aaam_pipeline.core.progress import Advance, NullReporter

OPTIONS = Options(part_size=4, batch_size=2, num_workers=2)


class Slowly(NullReporter):
    """Says when `batches` are done, and makes the work last long enough to be killed in the middle."""

    def __init__(self, begun: Event, batches: int) -> None:
        self.begun = begun
        self.batches = batches

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        def advance(count: int) -> None:
            self.batches -= 1
            if self.batches < 0:
                self.begun.set()
            time.sleep(0.02)

        yield advance


def work(folder: Path, model: Path, out: Path, begun: Event, batches: int) -> None:
    runner.annotate(sources.find([folder]), model, out, OPTIONS, Slowly(begun, batches))


def rows(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


def test_a_run_killed_again_and_again_ends_with_the_rows_of_an_undisturbed_one(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "annotations"
    for number in range(100):
        make_photo(folder / f"{number:03d}.jpg", number)
    (folder / "030.jpg").write_bytes(b"bad")
    runner.annotate(sources.find([folder]), tiny_bundle, tmp_path / "whole", OPTIONS, NullReporter())

    # a fork server loads torch once; every run is still a process of its own
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["aaam_pipeline.annotate.runner"])
    chance = random.Random(11)
    done = [0]
    for _ in range(5):
        begun = processes.Event()
        process = processes.Process(target=work, args=(folder, tiny_bundle, out, begun, chance.randint(2, 6)))
        process.start()
        assert begun.wait(120)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -9
        assert not out.exists()
        done.append(sum(part.count for part in runner.writer.finished_parts(tmp_path / "annotations.partial")))
    assert done == sorted(done)
    assert 0 < done[-1] < 100

    runner.annotate(sources.find([folder]), tiny_bundle, out, OPTIONS, NullReporter())
    assert rows(out).equals(rows(tmp_path / "whole"))
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert not (tmp_path / "annotations.partial").exists()
