"""Decoding processes that crash, hang, print and are killed: the image at fault fails, the others are as ever."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import make_photo
from PIL import Image as Picture
from web_server import serving

from aaam_pipeline.annotate import decoders, reader, runner, sources
from aaam_pipeline.annotate.decoder import Setup
from aaam_pipeline.annotate.decoders import Decoders
from aaam_pipeline.annotate.reader import Image
from aaam_pipeline.annotate.runner import Options
from aaam_pipeline.annotate.sources import Source
from aaam_pipeline.core import http, schema
from aaam_pipeline.core.errors import AaamError, ImageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.models.preprocess import MAX_PIXELS, Preprocess

PREPROCESS = Preprocess(size=32)
SETUP = Setup(PREPROCESS, MAX_PIXELS)
EVIL = "evil_decoder"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of 32 x 32, each of other noise: decoding changes no pixel of them."""
    folder = tmp_path_factory.mktemp("noise")
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Picture.fromarray(noise).save(folder / f"{number:02d}.png")
    return folder


def source(path: Path) -> Source:
    return sources.source(path, path.parent)


def good(folder: Path) -> list[Source]:
    return [source(path) for path in sorted(folder.glob("*.png"))]


def evil(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    return source(path)


def read(images: list[Source], workers: int = 2, timeout: float = 60.0, ahead: int = 8) -> list[Image]:
    with Decoders(SETUP, workers, timeout, EVIL) as pool:
        return list(pool.read(images, ahead))


def kinds(images: list[Image]) -> list[str]:
    return [image.picture.kind if isinstance(image.picture, ImageError) else "ok" for image in images]


def check_as_read_here(images: list[Image], wanted: list[Source]) -> None:
    """Fail unless every image that is no failure has the facts and the pixels of its own source."""
    assert [image.source for image in images] == wanted
    for image in images:
        if not isinstance(image.picture, ImageError):
            expected = reader.read_one(image.source, PREPROCESS)
            assert image[:4] == expected[:4]
            np.testing.assert_array_equal(image.picture.pixels_SS3, expected.picture.pixels_SS3)


def children(parent: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # the name, in brackets, may hold anything
            state, ppid = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(status.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    processes, threads, files = children(os.getpid()), threading.active_count(), open_files()
    yield
    deadline = time.monotonic() + 5
    while children(os.getpid()) - processes or threading.active_count() > threads or open_files() > files:
        # threads of a web server end a moment after their connection
        assert time.monotonic() < deadline, (children(os.getpid()), threading.enumerate(), open_files())
        time.sleep(0.05)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("workers", [1, 3])
def test_thousands_of_images_come_in_order_each_with_its_own_pixels(workers: int, folder: Path) -> None:
    order = np.random.default_rng(1).integers(0, 40, 2000).tolist()
    wanted = [good(folder)[number] for number in order]
    images = read(wanted, workers)
    assert [image.source for image in images] == wanted
    check_as_read_here(images[-40:], wanted[-40:])
    expected = {each.path: reader.read_one(each, PREPROCESS).picture.pixels_SS3.sum() for each in good(folder)}
    assert [image.picture.pixels_SS3.sum() for image in images] == [expected[each.path] for each in wanted]


@pytest.mark.parametrize(("word", "kind"), [("CRASH", "decoder_crashed"), ("EXIT", "decoder_crashed")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_takes_down_its_own_image_only(
    word: str, kind: str, workers: int, folder: Path, tmp_path: Path
) -> None:
    wanted = good(folder)
    for place in (0, 7, 8, 25, len(wanted) + 4):
        wanted.insert(place, evil(tmp_path / f"{place}.jpg", word.encode()))
    images = read(wanted, workers)
    assert kinds(images) == [kind if each.path.endswith("jpg") else "ok" for each in wanted]
    check_as_read_here(images, wanted)
    assert str(images[0].picture) == "the decoder crashed on it"
    # what listing told is known of it
    assert images[0][1:4] == (None, len(word), wanted[0].mtime)


@pytest.mark.parametrize("word", ["HANG", "HANG_IN_C"])
def test_what_hangs_is_given_up_and_those_behind_it_are_decoded(word: str, folder: Path, tmp_path: Path) -> None:
    wanted = [evil(tmp_path / "a.jpg", word.encode()), *good(folder), evil(tmp_path / "b.jpg", word.encode())]
    images = read(wanted, 2, timeout=2)
    assert kinds(images) == ["timeout", *["ok"] * 40, "timeout"]
    check_as_read_here(images, wanted)
    assert str(images[0].picture) == "not read and decoded within 2 seconds"


def test_a_process_that_was_killed_once_costs_nothing(folder: Path, tmp_path: Path) -> None:
    image = good(folder)[0]
    content = b"ONCE %s " % os.fsencode(tmp_path / "flag") + Path(image.location).read_bytes()
    wanted = [good(folder)[1], evil(tmp_path / "a.png", content), *good(folder)]
    images = read(wanted)
    assert kinds(images) == ["ok"] * 42
    np.testing.assert_array_equal(images[1].picture.pixels_SS3, images[2].picture.pixels_SS3)
    assert (tmp_path / "flag").exists()


def test_processes_killed_from_outside_again_and_again_cost_nothing(folder: Path, tmp_path: Path) -> None:
    picture = Path(good(folder)[0].location).read_bytes()
    slow = [evil(tmp_path / f"{number:02d}.jpg", b"SLOW " + picture) for number in range(60)]
    before = children(os.getpid())
    with Decoders(SETUP, 2, 60, EVIL) as pool:
        images = []
        for number, image in enumerate(pool.read(slow, 8)):
            images.append(image)
            if number % 20 == 10:
                os.kill(min(children(os.getpid()) - before), signal.SIGKILL)
    assert kinds(images) == ["ok"] * 60
    assert [image.source for image in images] == slow


def test_many_crashes_in_a_row_use_nothing_up(folder: Path, tmp_path: Path) -> None:
    wanted = [evil(tmp_path / f"{number}.jpg", b"CRASH") for number in range(12)]
    images = read([*wanted, *good(folder)])
    assert kinds(images) == ["decoder_crashed"] * 12 + ["ok"] * 40


def test_a_picture_for_which_memory_does_not_suffice_fails_alone(folder: Path, tmp_path: Path) -> None:
    wanted = [*good(folder)[:3], evil(tmp_path / "a.jpg", b"GREEDY"), *good(folder)[3:]]
    images = read(wanted, 1)
    assert kinds(images) == ["ok"] * 3 + ["too_large"] + ["ok"] * 37
    check_as_read_here(images, wanted)


def test_what_decoders_print_reaches_nobody(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = Path(good(folder)[0].location).read_bytes()
    images = read([evil(tmp_path / "a.jpg", b"RUBBISH " + picture), *good(folder)])
    assert kinds(images) == ["ok"] * 41
    assert capfd.readouterr() == ("", "")


def test_images_of_the_web_beside_local_ones_and_crashes(folder: Path, tmp_path: Path) -> None:
    with serving() as site:
        for path in folder.glob("*.png"):
            site.files[f"/{path.name}"] = path.read_bytes()
        site.files["/bad.png"] = b"CRASH"
        remote = list(sources.find([f"{site.url}/{name}.png" for name in ("00", "bad", "01", "gone")]))
        many = list(sources.find([f"{site.url}/{number:02d}.png" for number in range(2, 40)]))
        wanted = [*remote, *good(folder)[:5], *many, evil(tmp_path / "a.jpg", b"CRASH"), *good(folder)[5:]]
        images = read(wanted)
        failures = {"bad.png": "decoder_crashed", "gone.png": "unreadable", "a.jpg": "decoder_crashed"}
        assert kinds(images) == [failures.get(each.path, "ok") for each in wanted]
        check_as_read_here(images, wanted)
        http._pool.cache_clear()


def test_a_module_that_is_not_there_is_one_clear_error(folder: Path) -> None:
    with (
        Decoders(SETUP, 2, 60, "no_such_decoder") as pool,
        pytest.raises(AaamError, match=r"a decoding process does not start \(exit code 1\)"),
    ):
        list(pool.read(good(folder), 8))


def test_a_process_that_never_is_ready_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "START_SECONDS", 0.5)
    monkeypatch.setattr("sys.executable", "/bin/yes")
    with Decoders(SETUP, 2, 60) as pool, pytest.raises(AaamError, match="does not start"):
        list(pool.read(good(folder), 8))


def test_modules_of_the_folder_one_stands_in_are_not_taken_for_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "PIL", "queue", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    assert kinds(read(good(folder)[:3])) == ["ok"] * 3


@pytest.mark.parametrize("kind", [GeneratorExit, RuntimeError, KeyboardInterrupt])
def test_whoever_stops_listening_is_not_waited_for(kind: type[BaseException], folder: Path, tmp_path: Path) -> None:
    # one hangs, one is decoding, more are queued
    wanted = [*good(folder)[:1], evil(tmp_path / "a.jpg", b"HANG"), *good(folder)]
    started = time.monotonic()
    try:
        with Decoders(SETUP, 2, 60, EVIL) as pool:
            for _ in pool.read(wanted, 8):
                if kind is GeneratorExit:
                    break
                raise kind
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert time.monotonic() - started < 20


def ended(reading: Iterator[Image]) -> None:
    with suppress(CancelledError, AaamError):
        next(reading, None)


def test_whoever_stops_while_a_process_starts_does_not_wait_for_what_hangs(folder: Path, tmp_path: Path) -> None:
    images = [evil(tmp_path / "a.jpg", b"HANG_IN_C"), evil(tmp_path / "b.jpg", b"HANG_IN_C")]
    for pause in (0.0, 0.02, 0.1, 0.2, 0.4):
        started = time.monotonic()
        with Decoders(SETUP, 2, 60, EVIL) as pool:
            reading = pool.read(images, 8)
            stopper = threading.Thread(target=ended, args=(reading,), daemon=True)
            stopper.start()
            time.sleep(pause)
        assert time.monotonic() - started < 15
        stopper.join(5)
        assert not stopper.is_alive()


def test_a_second_reading_follows_the_first(folder: Path) -> None:
    with Decoders(SETUP, 2, 60) as pool:
        for _ in range(2):
            images = list(pool.read(good(folder), 4))
            check_as_read_here(images, good(folder))


def test_no_images_are_no_work() -> None:
    before = children(os.getpid())
    with Decoders(SETUP, 2, 60) as pool:
        assert list(pool.read([], 4)) == []
        assert children(os.getpid()) == before


PARENT = """
import sys
from aaam_pipeline.annotate import sources
from aaam_pipeline.annotate.decoder import Setup
from aaam_pipeline.annotate.decoders import Decoders
from aaam_pipeline.models.preprocess import Preprocess
found = sources.find(sys.argv[1:])
with Decoders(Setup(Preprocess(size=32), 10**6), 3, 600, "evil_decoder") as pool:
    for image in pool.read(found, 8):
        print(image.source.path, flush=True)
"""


def test_when_the_parent_is_killed_the_processes_end_also_hanging_ones(folder: Path, tmp_path: Path) -> None:
    names = [tmp_path / "b.jpg", tmp_path / "c.jpg"]
    names[0].write_bytes(b"HANG")
    names[1].write_bytes(b"HANG_IN_C")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, "-c", PARENT, str(folder / "00.png"), *map(str, names)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "00.png\n"
            time.sleep(1)
            processes = children(parent.pid)
        finally:
            parent.kill()
    assert len(processes) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_stopped_for_a_while_blames_no_image(folder: Path, tmp_path: Path) -> None:
    picture = Path(good(folder)[0].location).read_bytes()
    names = [tmp_path / "b.jpg", tmp_path / "c.jpg"]
    for name in names:
        name.write_bytes(b"NAP " + picture)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = PARENT.replace("600", "1.5").replace("image.source.path", "image.source.path, image.picture")
    words = [sys.executable, "-c", program, str(folder / "00.png"), *map(str, names)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("00.png Decoded")
        time.sleep(0.3)
        os.killpg(parent.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(parent.pid, signal.SIGCONT)
        assert [line.split("(")[0] for line in parent.stdout if "jpg" in line] == ["b.jpg Decoded", "c.jpg Decoded"]


def rows(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


def annotate(inputs: list[Source], model: Path, out: Path, **options: Any) -> pa.Table:
    given = Options(backend="torch", max_failure_rate=1, **options)
    runner.annotate(inputs, model, out, given, NullReporter())
    return rows(out)


def test_rows_beside_a_crash_and_a_hang_are_those_of_an_undisturbed_run(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        make_photo(tmp_path / "photos" / f"{number:02d}.jpg", number)
    undisturbed = annotate(list(sources.find([tmp_path / "photos"])), tiny_bundle, tmp_path / "whole", num_workers=2)
    (tmp_path / "photos" / "05b.jpg").write_bytes(b"CRASH")
    (tmp_path / "photos" / "11b.jpg").write_bytes(b"HANG")
    monkeypatch.setattr(decoders.Decoders.__init__, "__defaults__", (EVIL,))
    found = annotate(
        list(sources.find([tmp_path / "photos"])), tiny_bundle, tmp_path / "out", num_workers=2, timeout=3, part_size=7
    )
    failed = pa.compute.equal(found["status"], "failed")
    assert found.filter(failed).select(["path", "error_type", "labels"]).to_pylist() == [
        {"path": "05b.jpg", "error_type": "decoder_crashed", "labels": None},
        {"path": "11b.jpg", "error_type": "timeout", "labels": None},
    ]
    others = found.filter(pa.compute.invert(failed))
    facts = [name for name in found.column_names if name not in ("scores", "embedding", "label_scores")]
    assert others.select(facts).equals(undisturbed.select(facts))
    np.testing.assert_allclose(schema.rows(others["scores"]), schema.rows(undisturbed["scores"]), atol=0.005)


def devices() -> list[Any]:
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    return ["cpu", pytest.param("cuda", marks=absent)]


@pytest.mark.parametrize("device", devices())
def test_scores_and_their_order_do_not_depend_on_batch_size_or_workers(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    inputs = list(sources.find([photos]))
    expected = annotate(inputs, tiny_bundle, tmp_path / "expected", device="cpu", batch_size=32, num_workers=2)
    for batch_size in (1, 64):
        for workers in (0, 8):
            out = tmp_path / f"{batch_size}-{workers}"
            found = annotate(inputs, tiny_bundle, out, device=device, batch_size=batch_size, num_workers=workers)
            scores, wanted = (schema.rows(table["scores"]).astype(np.float32) for table in (found, expected))
            np.testing.assert_allclose(scores, wanted, atol=0.005)
            assert found["labels"].to_pylist() == expected["labels"].to_pylist()
            assert found["path"].to_pylist() == expected["path"].to_pylist()


@pytest.mark.parametrize("device", devices())
def test_a_bad_image_never_changes_a_bit_of_its_batch_mates(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """The same batch with a good image, and with a bad one in its place."""
    inputs = list(sources.find([photos]))
    bad = evil(tmp_path / "bad.jpg", b"no image")
    whole = annotate(inputs, tiny_bundle, tmp_path / "whole", device=device, batch_size=8, num_workers=2)
    places = [0, 9, 10, 23]
    mixed = [bad if place in places else each for place, each in enumerate(inputs)]
    found = annotate(mixed, tiny_bundle, tmp_path / "out", device=device, batch_size=8, num_workers=2)
    others = [place for place in range(len(inputs)) if place not in places]
    assert found.take(others).equals(whole.take(others))
    assert [found["status"][place].as_py() for place in places] == ["failed"] * 4
