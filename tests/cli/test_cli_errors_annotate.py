"""What `annotate` refuses or cannot do: bad inputs, models, devices and outputs, each with its exit code and line."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from cli.failures import failed
from conftest import Invoke, make_photo

pytestmark = pytest.mark.slow


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    """Three good photographs and two bad ones."""
    folder = tmp_path / "bad"
    for number in range(3):
        make_photo(folder / f"{number}.jpg", number)
    (folder / "text.jpg").write_text("no image")
    (folder / "zero.jpg").touch()
    return folder


@pytest.mark.parametrize("name", ["missing", "empty", "only text"])
def test_annotate_without_images_is_a_usage_error(name: str, tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    if name != "missing":
        (tmp_path / name).mkdir()
    if name == "only text":
        (tmp_path / name / "notes.txt").write_text("text")
    failed(invoke("annotate", name, "--model", tiny_bundle), 2, name)
    assert not (tmp_path / "annotations").exists()
    assert not (tmp_path / "annotations.partial").exists()


def test_too_many_failures_exit_3_with_everything_written(
    bad_folder: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    result = invoke("annotate", bad_folder, "--model", tiny_bundle, "--quiet")
    failed(result, 3, "2 of 5 images failed", "1 empty_file", "1 not_an_image", "--max-failure-rate 0.1")
    assert (tmp_path / "annotations" / "_manifest.json").is_file()
    assert invoke("index", "--quiet").exit_code == 0
    assert len(invoke("search", "grass", "--paths", "-q").stdout.splitlines()) == 3


def test_failures_within_the_budget_exit_0_and_are_told(bad_folder: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    result = invoke("annotate", bad_folder, "--model", tiny_bundle, "--max-failure-rate", 0.4)
    assert result.exit_code == 0
    assert "3 of 5 images annotated, 2 failed (1 empty_file, 1 not_an_image)" in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert lines == [
        f"failed: {bad_folder}/text.jpg: no known image format",
        f"failed: {bad_folder}/zero.jpg: the file has no bytes",
    ]
    assert "all of them" not in result.stderr


def test_of_many_failures_the_first_are_named(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    for number in range(9):
        make_photo(tmp_path / "some" / f"{number}.jpg", number)
        if number % 2:
            (tmp_path / "some" / f"{number}.jpg").write_bytes(b"")
    words = ("--model", tiny_bundle, "--max-failure-rate", 1, "--part-size", 2)
    said = invoke("annotate", "some", *words).stderr
    assert [line.split(":")[1] for line in said.splitlines() if line.startswith("failed: ")] == [
        f" {tmp_path}/some/{number}.jpg" for number in (1, 3, 5)
    ]
    assert "all of them: SELECT path, error_message FROM 'annotations/*.parquet' WHERE status = 'failed'" in said


def test_what_is_overwritten_is_said(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    for number in range(3):
        make_photo(tmp_path / ("one" if number else "two") / f"{number}.jpg", number)
    words = ("--model", tiny_bundle, "--on-existing", "overwrite")
    assert "replaced" not in invoke("annotate", "one", "two", *words).stderr
    for more in (("--dry-run",), ()):
        said = invoke("annotate", "one", *words, *more).stderr
        assert f"the 3 rows of annotations are replaced; none will be left of {tmp_path}/two" in said
    assert "the 2 rows of annotations are replaced\n" in invoke("annotate", "one", *words).stderr


def test_pictures_that_lack_rows_are_annotated_if_accepted(tiny_bundle: Path, tmp_path: Path, invoke: Invoke) -> None:
    folder = tmp_path / "cut"
    whole = make_photo(folder / "a.jpg", 1, (96, 160)).read_bytes()
    (folder / "end.jpg").write_bytes(whole[:-2])
    (folder / "half.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    result = invoke("annotate", folder, "--model", tiny_bundle, "--max-failure-rate", 0.4)
    assert result.exit_code == 0
    assert "2 of 3 images annotated, 1 failed (1 truncated)" in result.stderr
    rows = pq.read_table(tmp_path / "annotations", columns=["error_message"])["error_message"].to_pylist()
    assert re.fullmatch(r"truncated: \d\d % of the rows are there; --accept-truncated takes it", rows[2])
    again = invoke("annotate", folder, "--model", tiny_bundle, "--accept-truncated", "--retry-failed")
    assert again.exit_code == 0
    assert "3 of 3 images annotated, none failed" in again.stderr


def test_a_bundle_that_is_none_is_a_usage_error(photos: Path, invoke: Invoke) -> None:
    failed(invoke("annotate", photos, "--model", photos), 2, "is not a model bundle", "bundle.json")
    failed(invoke("annotate", photos, "--model", "gone"), 2, "no model 'gone', neither a folder nor one of: none")


def cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def no_json(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")


@pytest.mark.parametrize("damage", [cut_weights, remove_weights, flip_a_bit, no_json])
def test_a_damaged_bundle_exits_4(
    damage: Callable[[Path], None], photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    damage(tmp_path / "model")
    failed(invoke("annotate", photos, "--model", "model"), 4, "model")
    assert not (tmp_path / "annotations").exists()


def test_a_bundle_of_another_version_is_not_damaged(
    photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "model")
    info = json.loads((tiny_bundle / "bundle.json").read_text())
    (tmp_path / "model" / "bundle.json").write_text(json.dumps(info | {"version": 99}))
    failed(invoke("annotate", photos, "--model", "model"), 1, "version 99")


@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "meta", "", "gpu"])
def test_a_device_that_is_none_is_a_usage_error(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--device", device), 2, f"no device '{device}'")
    failed(invoke("doctor", "--device", device), 2, f"no device '{device}'")
    assert not (tmp_path / "annotations").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none_is_a_usage_error(
    device: str, photos: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--device", device), 2, f"--device {device}")
    failed(invoke("doctor", "--device", device), 2, f"--device {device}")


def test_devices_are_read_from_the_environment(
    photos: Path, tiny_bundle: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAAM_DEVICE", "nonsense")
    failed(invoke("annotate", photos, "--model", tiny_bundle), 2, "no device 'nonsense'")
    assert invoke("annotate", photos, "--model", tiny_bundle, "--device", "cpu").exit_code == 0


@pytest.mark.parametrize("out", ["file/out", "file/deeper/out", "/proc/out", "/sys/out"])
def test_an_output_that_cannot_be_written_is_a_usage_error(
    out: str, photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "file").write_text("mine")
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--out", out), 2, "cannot write to")
    failed(invoke("index", annotated, "--out", out), 2, "cannot write to")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder_is_a_usage_error(
    photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    failed(invoke("annotate", photos, "--model", tiny_bundle, "--out", "locked/out"), 2, "cannot write to")
    failed(invoke("index", annotated, "--out", "locked/out"), 2, "cannot write to")


def test_an_output_with_other_files_is_refused(
    photos: Path, tiny_bundle: Path, annotated: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / "novel").mkdir()
    (tmp_path / "novel" / "chapter.txt").write_text("mine")
    annotate = ("annotate", photos, "--model", tiny_bundle, "--out", "novel")
    failed(invoke(*annotate), 2, "is not an annotations folder")
    failed(invoke(*annotate, "--on-existing", "overwrite"), 2, "is not an annotations folder")
    failed(invoke("index", annotated, "--out", "novel"), 2, "is not an index")
    assert (tmp_path / "novel" / "chapter.txt").read_text() == "mine"


def test_on_existing_decides_about_finished_work(photos: Path, tiny_bundle: Path, invoke: Invoke) -> None:
    annotate = ("annotate", photos, "--model", tiny_bundle)
    assert invoke(*annotate).exit_code == 0
    assert "nothing to do" in invoke(*annotate).stderr
    failed(invoke(*annotate, "--on-existing", "error"), 2, "annotations exists")
    failed(invoke(*annotate, "--threshold", 0.9, "--on-existing", "error"), 2, "annotations exists")
    assert invoke(*annotate, "--threshold", 0.9, "--on-existing", "overwrite").exit_code == 0
