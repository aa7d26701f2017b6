"""Decoding processes that crash, hang, print and are killed: the image at fault fails, the others are as ever."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from decoding import (
    EVIL,
    SETUP,
    SIZE,
    check_as_read_here,
    children,
    evil,
    good,
    kinds,
    leaving_nothing_behind,
    read,
    write_noise,
)
from web_server import serving

from aaam_pipeline.annotate import inputs, reader
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.core import http
from aaam_pipeline.imaging import MAX_PIXELS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("noise"))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    with leaving_nothing_behind():
        yield


@pytest.mark.parametrize("workers", [1, 3])
def test_thousands_of_images_come_in_order_each_with_its_own_pixels(workers: int, folder: Path) -> None:
    order = np.random.default_rng(1).integers(0, 40, 2000).tolist()
    wanted = [good(folder)[number] for number in order]
    images = read(wanted, workers)
    assert [image.item for image in images] == wanted
    check_as_read_here(images[-40:], wanted[-40:])
    expected = {each.path: reader.read(each, SIZE).picture.pixels_SS3.sum() for each in good(folder)}
    assert [image.picture.pixels_SS3.sum() for image in images] == [expected[each.path] for each in wanted]


def test_processes_resize_as_the_model_wants_it(folder: Path) -> None:
    item = good(folder)[0]
    for interpolation in ("bilinear", "bicubic"):
        setup = DecodeSetup(16, MAX_PIXELS, interpolation=interpolation)  # type: ignore[arg-type]
        with DecoderPool(setup, 1, 60.0, EVIL) as pool:
            (found,) = pool.read([item], 1)
        here = reader.read(item, 16, interpolation=interpolation)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.picture.pixels_SS3, here.picture.pixels_SS3)
    assert not np.array_equal(here.picture.pixels_SS3, reader.read(item, 16).picture.pixels_SS3)


@pytest.mark.parametrize(("word", "kind"), [("CRASH", "decoder_crashed"), ("EXIT", "decoder_crashed")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_takes_down_its_own_image_only(
    word: str, kind: str, workers: int, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = good(folder)
    for place in (0, 7, 8, 25, len(wanted) + 4):
        wanted.insert(place, evil(tmp_path / f"{place}.jpg", word.encode()))
    images = read(wanted, workers)
    assert kinds(images) == [kind if each.path.endswith("jpg") else "ok" for each in wanted]
    check_as_read_here(images, wanted)
    assert str(images[0].picture) == "the decoder crashed on it"
    # each is tried twice
    assert sum("is restarted: it ended at" in message for message in caplog.messages) == 10
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
    with DecoderPool(SETUP, 2, 60, EVIL) as pool:
        images = []
        for number, image in enumerate(pool.read(slow, 8)):
            images.append(image)
            if number % 20 == 10:
                os.kill(min(children(os.getpid()) - before), signal.SIGKILL)
    assert kinds(images) == ["ok"] * 60
    assert [image.item for image in images] == slow


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
        remote = list(inputs.find([f"{site.url}/{name}.png" for name in ("00", "bad", "01", "gone")]))
        many = list(inputs.find([f"{site.url}/{number:02d}.png" for number in range(2, 40)]))
        wanted = [*remote, *good(folder)[:5], *many, evil(tmp_path / "a.jpg", b"CRASH"), *good(folder)[5:]]
        images = read(wanted)
        failures = {"bad.png": "decoder_crashed", "gone.png": "unreadable", "a.jpg": "decoder_crashed"}
        assert kinds(images) == [failures.get(each.path, "ok") for each in wanted]
        check_as_read_here(images, wanted)
        http._pool.cache_clear()
