"""The engine on Ray gives the rows of the local one, on a cluster of this machine, also when a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_photo
from ray_cluster import ACTOR, WAIT_SECONDS, below, running, wait_until
from runs import rows

from aaam_pipeline.annotate import cluster, inputs, runner
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.parts import AnnotateJob
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.parts import stats_path

pytestmark = pytest.mark.slow

# not importorskip: Ray decides when it is imported whether it asks for tokens
if not find_spec("ray"):
    pytest.skip("no Ray here", allow_module_level=True)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    with running(tmp_path_factory.mktemp("head")) as started:
        yield started


@pytest.fixture
def address(head: tuple[int, str]) -> str:
    return head[1]


@pytest.fixture(scope="module")
def many(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 600 images, of which two cannot be read; two seconds of work in batches of one."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "bad.jpg").write_bytes(b"bad")
    names = [*map(str, sorted(photos.rglob("*.jpg"))), str(folder / "bad.jpg")]
    lines = [names[number % 24] for number in range(600)]
    lines[77], lines[411] = names[24], str(folder / "gone.jpg")
    (folder / "list.txt").write_text("\n".join(lines))
    return folder / "list.txt"


@pytest.fixture(scope="module")
def expected(many: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    out = tmp_path_factory.mktemp("expected") / "out"
    annotate(many, tiny_bundle, out)
    return rows(out)


def annotate(many: Path, model: Path, out: Path, report: NullReporter | None = None, **options: Any) -> None:
    given = Options(backend="torch", part_size=8, batch_size=1, num_workers=1, **options)
    runner.annotate(inputs.find([many]), model, out, given, report or NullReporter())


def check_equal(out: Path, expected: pa.Table) -> None:
    verify(out, NullReporter())
    found = rows(out)
    floats = ["scores", "embedding", "label_scores"]
    assert found.drop_columns(floats).equals(expected.drop_columns(floats))
    ok = pa.compute.equal(expected["status"], "ok")
    for name in floats[:2]:
        one, other = (to_matrix(table.filter(ok)[name]).astype(np.float32) for table in (found, expected))
        np.testing.assert_allclose(one, other, atol=0.005)


class Then(NullReporter):
    """Does something when the first part is told of, and counts the rows."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.act, self.count, self.failed = act, 0, 0

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        def advance(count: int, failed: int = 0) -> None:
            first = self.count == 0
            self.count, self.failed = self.count + count, self.failed + failed
            if first:
                self.act()

        yield advance


def test_both_engines_give_equal_rows_failures_too(
    many: Path, tiny_bundle: Path, expected: pa.Table, address: str, tmp_path: Path
) -> None:
    report = Then()
    annotate(many, tiny_bundle, tmp_path / "out", report, engine="ray", ray_address=address)
    check_equal(tmp_path / "out", expected)
    assert [row["error_type"] for row in expected.to_pylist() if row["status"] == "failed"] == [
        "not_an_image",
        "unreadable",
    ]
    assert (report.count, report.failed) == (600, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    many: Path, tiny_bundle: Path, expected: pa.Table, head: tuple[int, str], tmp_path: Path
) -> None:
    out, done = tmp_path / "out", []

    def kill() -> None:
        processes = below(head[0])
        (actor,) = [process for process, line in processes.items() if line.startswith(ACTOR)]
        decoding = below(actor)
        os.kill(actor, signal.SIGKILL)
        done.append(len(list(out.with_name("out.partial").glob("rows/_part-*.json"))))
        wait_until(lambda: not any(Path(f"/proc/{process}").exists() for process in decoding))

    report = Then(kill)
    annotate(many, tiny_bundle, out, report, engine="ray", ray_address=head[1])
    assert 0 < done[0] < 75
    check_equal(out, expected)
    assert (report.count, report.failed) == (600, 2)


@pytest.mark.parametrize("engines", [("ray", "local"), ("local", "ray")])
def test_either_engine_goes_on_where_the_other_was_stopped(
    engines: tuple[Any, Any], many: Path, tiny_bundle: Path, expected: pa.Table, address: str, tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        annotate(many, tiny_bundle, out, Then(interrupt), engine=engines[0], ray_address=address)
    # parts of 8 images are told of by Ray when done; the local engine tells of single batches
    rows = tmp_path / "out.partial" / "rows"
    # a part without its statistics was not finished, and is made again
    finished = [part for part in rows.glob("*.parquet") if stats_path(part).exists()]
    kept = {part.name: part.stat().st_mtime_ns for part in finished}
    assert len(kept) < 75
    annotate(many, tiny_bundle, out, engine=engines[1], ray_address=address)
    check_equal(out, expected)
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept


def test_a_model_that_is_damaged_is_the_same_error_as_on_one_machine(
    many: Path, tiny_bundle: Path, address: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    for file in tiny_bundle.iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(5000)
        weights.write(b"x")
    for options in ({"engine": "local"}, {"engine": "ray", "ray_address": address}):
        with pytest.raises(IntegrityError, match=r"^.*model\.safetensors is missing or damaged: not what"):
            annotate(many, tmp_path / "model", tmp_path / "out", **options)


@pytest.mark.parametrize("given", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_a_wrong_address_is_one_clear_line_soon(
    given: str, many: Path, tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError, match=f"^no Ray cluster at {given}: [^\n]*$"):
        annotate(many, tiny_bundle, tmp_path / "out", engine="ray", ray_address=given)
    assert time.monotonic() - started < 10
    assert capfd.readouterr() == ("", "")


def test_without_ray_one_is_told_how_to_get_it(
    many: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'aaam-pipe\[ray\]'"):
        annotate(many, tiny_bundle, tmp_path / "out", engine="ray")


def environment(*without: str) -> dict[str, str]:
    names = ("AAAM_", "NO_COLOR", *without)
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}


def command(photos: Path, model: Path, *words: str) -> list[str]:
    options = f"--out out --backend torch --batch-size 1 --part-size 2 --engine ray --model {model}".split()
    return [sys.executable, "-m", "aaam_pipeline", "annotate", photos.name, *options, *words]


@pytest.mark.parametrize("started", ["before", "for the run"])
def test_nothing_of_ray_reaches_the_terminal(started: str, tiny_bundle: Path, address: str, tmp_path: Path) -> None:
    """Paths are relative to where the user stands, which is not where the cluster was started."""
    for number in range(6):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    words = command(tmp_path / "photos", tiny_bundle, *(["--ray-address", address] if started == "before" else []))
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")
    assert [line.split(" (/")[0] for line in done.stderr.splitlines()] == [
        "6 images: 6 new",
        f"annotating with {verify(tmp_path / 'out', NullReporter()).model_id}",
        "out: 6 of 6 images annotated, none failed",
        "next: aaam-pipe index out",
    ]


def test_a_cluster_that_wants_a_token_says_so(photos: Path, tiny_bundle: Path, address: str, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "0.jpg", 0)
    words = command(tmp_path / "photos", tiny_bundle, "--ray-address", address)
    given = environment("RAY_") | {"RAY_AUTH_MODE": "disabled", "RAY_gcs_server_port_wait_time_s": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: no Ray cluster at {address}: ")
    assert line.endswith("; it wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too")


def test_ctrl_c_exits_130_and_leaves_no_actor_behind(
    photos: Path, many: Path, tiny_bundle: Path, head: tuple[int, str], tmp_path: Path
) -> None:
    (tmp_path / many.name).write_bytes(many.read_bytes())
    with subprocess.Popen(
        command(many, tiny_bundle, "--ray-address", head[1]),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test run in the background ignores Ctrl-C, and its children would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        wait_until(lambda: list(tmp_path.glob("out.partial/rows/_part-*.json")))
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; what was finished is kept")
    assert "Traceback" not in errors
    wait_until(lambda: not any(line.startswith(ACTOR) for line in below(head[0]).values()))


def test_one_machine_with_another_model_than_the_others_is_refused(many: Path, tiny_bundle: Path) -> None:
    todo = many.with_name("todo.parquet")
    job = AnnotateJob(
        many, todo, many / "replaced.parquet", 0, tiny_bundle, Options(backend="torch", device="cpu", num_workers=0)
    )
    pq.write_table(pa.table({"path": ["a"]}), job.todo)
    with pytest.raises(UsageError, match=r"is model toy-.* on one machine and other on another"):
        cluster.RayPartMaker(job, "other")
