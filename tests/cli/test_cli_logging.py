"""What `-v` and `--log-file` show, and that nothing is logged without them."""

import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import Invoke, make_photo

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ (DEBUG|INFO|WARNING|ERROR) aaam_pipeline[\w.]*: .+")


def test_nothing_is_logged_unless_it_is_asked_for(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("search", "grass", "--index", indexed).stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_configures_no_logging() -> None:
    program = (
        "import logging, aaam_pipeline.search\n"
        "package = logging.getLogger('aaam_pipeline')\n"
        "assert [type(each).__name__ for each in package.handlers] == ['NullHandler']\n"
        "assert package.level == logging.NOTSET and logging.getLogger().handlers == []\n"
        "package.getChild('x').error('nobody asked for it')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("-v", "search", "grass"),
        ("--verbose", "search", "grass"),
        ("search", "-v", "grass"),
        ("search", "grass", "--verbose"),
    ],
)
def test_verbose_logs_to_stderr_before_or_after_the_command(
    words: tuple[str, ...], indexed: Path, invoke: Invoke
) -> None:
    plain = invoke("search", "grass", "--index", indexed)
    result = invoke(*words, "--index", indexed)
    assert result.stdout == plain.stdout
    assert " INFO aaam_pipeline." in result.stderr
    assert " DEBUG " not in result.stderr


@pytest.mark.parametrize("words", [("-vv", "search", "grass"), ("search", "-vv", "grass")])
def test_twice_verbose_shows_details(words: tuple[str, ...], indexed: Path, invoke: Invoke) -> None:
    result = invoke(*words, "--index", indexed)
    assert result.exit_code == 0
    assert " DEBUG aaam_pipeline." in result.stderr


def test_a_query_may_still_begin_with_a_minus(indexed: Path, invoke: Invoke) -> None:
    assert invoke("search", "-dog", "grass", "-v", "--index", indexed).exit_code == 0
    # a label named v would be left out so
    failed(invoke("search", "grass", "--index", indexed, "--", "-v"), 2, "v")


@pytest.mark.parametrize("before", [True, False])
def test_a_log_file_holds_everything_and_grows(before: bool, indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    log, command = ("--log-file", "run.log"), ("search", "grass", "--index", indexed)
    for count in (1, 2):
        result = invoke(*log, *command) if before else invoke(*command, *log)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = (tmp_path / "run.log").read_text().splitlines()
        assert all(LINE.fullmatch(line) for line in lines)
        assert sum("command: " in line for line in lines) == count
        assert sum(" DEBUG " in line for line in lines) >= count


def test_the_environment_asks_for_logs_too(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    os.environ |= {"AAAM_LOG_FILE": "run.log", "AAAM_VERBOSE": "1"}
    result = invoke("search", "grass", "--index", indexed)
    assert " INFO aaam_pipeline." in result.stderr
    assert (tmp_path / "run.log").stat().st_size > 0


def test_an_error_is_in_the_log_with_its_traceback(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    failed(invoke("search", "zebra", "--index", indexed, "--log-file", "run.log"), 2, "zebra")
    text = (tmp_path / "run.log").read_text()
    assert " ERROR aaam_pipeline.core.logging: UnknownLabelError: " in text
    assert "Traceback (most recent call last)" in text


@pytest.mark.parametrize("path", ["missing/run.log", "."])
def test_a_log_file_that_cannot_be_written_is_a_usage_error(path: str, indexed: Path, invoke: Invoke) -> None:
    failed(invoke("search", "grass", "--index", indexed, "--log-file", path), 2, f"cannot write the log file {path}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_log_and_not_the_command(indexed: Path, invoke: Invoke) -> None:
    result = invoke("search", "grass", "--index", indexed, "--log-file", "/dev/full")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["no more is logged to /dev/full: [Errno 28] No space left on device"]


def test_no_logging_is_left_behind(indexed: Path, invoke: Invoke, tmp_path: Path) -> None:
    invoke("-vv", "--log-file", "run.log", "search", "grass", "--index", indexed)
    package = logging.getLogger("aaam_pipeline")
    assert {"AAAM_VERBOSE", "AAAM_LOG_FILE"}.isdisjoint(os.environ)
    assert [type(each) for each in package.handlers] == [logging.NullHandler]
    assert package.level == logging.NOTSET


def test_a_library_that_configures_the_root_logger_repeats_nothing(indexed: Path, invoke: Invoke) -> None:
    handler = logging.StreamHandler(stream := io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        result = invoke("-vv", "search", "nosuchword", "--index", indexed)
    finally:
        logging.getLogger().removeHandler(handler)
    assert result.exit_code == 2
    assert stream.getvalue() == ""
    assert logging.getLogger("aaam_pipeline").propagate


def test_names_of_files_forge_no_lines_and_passwords_stay_out(
    invoke: Invoke, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(tmp_path / "photos" / "a.jpg", 1)
    monkeypatch.setattr(sys, "argv", ["aaam-pipe", "https://me:secret@host/x", "photos\n2026 ERROR forged"])
    invoke("annotate", "photos", "--model", tiny_bundle, "--log-file", "run.log")
    text = (tmp_path / "run.log").read_text()
    assert "https://***@host/x photos\\x0a2026 ERROR forged" in text
    assert "secret" not in text


def test_annotating_with_logs_is_annotating(photos: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("annotate", photos, "--model", tiny_bundle, "--num-workers", 1, "-q", "--log-file", "run.log")
    assert (result.exit_code, result.output) == (0, "")
    assert all(LINE.fullmatch(line) for line in (tmp_path / "run.log").read_text().splitlines())


def test_logs_say_what_was_chosen_and_what_was_done(
    photos: Path, tiny_bundle: Path, invoke: Invoke, tmp_path: Path
) -> None:
    os.environ["AAAM_LOG_FILE"] = "run.log"
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "photos.txt").write_text(f"{photos}/001.jpg\n{photos}/002.jpg\n")
    said = {}
    for words in (
        ("annotate", "photos.txt", "--model", tiny_bundle, "--backend", "torch", "--num-workers", "0"),
        ("index",),
        (
            "annotate",
            "photos/004.jpg",
            "--model",
            tiny_bundle,
            "--backend",
            "torch",
            "--out",
            "more",
            "--num-workers",
            "2",
        ),
        ("index", "annotations", "more"),
        ("search", "grass", "-q"),
    ):
        assert invoke(*words).exit_code == 0
        said[words[0]] = (tmp_path / "run.log").read_text()
        (tmp_path / "run.log").unlink()
        if words == ("index",):
            said.setdefault("first index", said["index"])
    for line in (
        f"model {tiny_bundle}: named",
        "1 images listed",
        "left out of the inputs: none",
        f"backend 'torch' on 'auto': torch fp32 from {tiny_bundle}",
        "part 0: 1 images in ",
        "1 parts are to be made, with ",
        # what the person saw
        "1 of 1 image annotated",
    ):
        assert line in said["annotate"]
    assert "2 images, 0 of them copied from the previous index" in said["first index"]
    assert "3 images, 2 of them copied from the previous index" in said["index"]
    assert "index index: the newest that is found here" in said["search"]
    assert " ms: SELECT " in said["search"]


def test_a_stage_logs_where_the_environment_says(tmp_path: Path) -> None:
    log = tmp_path / "stage.log"
    done = subprocess.run(
        [sys.executable, "-m", "stages.index", "missing", str(tmp_path / "index")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "AAAM_LOG_FILE": str(log)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "missing" in log.read_text()
