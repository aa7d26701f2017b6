"""What goes wrong in any command: a wrong line, a defect, a full disk, an interruption; run inside this process."""

from pathlib import Path

import pytest
from cli.failures import failed
from conftest import Invoke


@pytest.mark.parametrize(
    "words",
    [
        ("search",),
        ("search", "grass", "--top", "0"),
        ("search", "grass", "--nonsense"),
        ("nonsense",),
        ("annotate",),
        ("annotate", ".", "--threshold", "1.5"),
        ("annotate", ".", "--batch-size", "0"),
        ("annotate", ".", "--on-existing", "maybe"),
        (),
    ],
)
def test_a_wrong_command_line_exits_2(words: tuple[str, ...], invoke: Invoke) -> None:
    assert invoke(*words).exit_code == 2


@pytest.mark.parametrize("words", [("search", "zebra"), ("annotate", "gone"), ("similar", "gone.jpg")])
def test_debug_shows_the_traceback_before_the_line(
    words: tuple[str, ...], indexed: Path, tiny_bundle: Path, invoke: Invoke
) -> None:
    where = ("--model", tiny_bundle) if words[0] == "annotate" else ("--index", indexed)
    result = invoke("--debug", *words, *where)
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_a_defect_is_one_line_too(indexed: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero\nsomewhere")

    monkeypatch.setattr("aaam_pipeline.search.engine.Index.query", broken)
    failed(
        invoke("search", "grass", "--index", indexed), 1, "unexpected ZeroDivisionError: by zero somewhere", "--debug"
    )


def test_a_full_disk_is_one_line(
    photos: Path, tiny_bundle: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "annotations")

    monkeypatch.setattr("aaam_pipeline.formats.part_files.write_bytes", full)
    failed(
        invoke("annotate", photos, "--model", tiny_bundle, "-q"), 1, "no room on the disk for annotations; make room"
    )


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_full_disk_is_one_line_also_where_a_library_in_another_language_says_so(
    kind: type[Exception], photos: Path, tiny_bundle: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise kind("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("aaam_pipeline.formats.part_files.write_bytes", full)
    failed(invoke("annotate", photos, "--model", tiny_bundle, "-q"), 1, "no room on the disk; make room")


def test_an_interruption_exits_130_and_the_same_command_goes_on(
    photos: Path, tiny_bundle: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aaam_pipeline.annotate.staging.StagingDir.publish", stop)
        result = invoke("annotate", photos, "--model", tiny_bundle, "-q")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines() == [
        "interrupted; what was finished is kept, run the same command again to resume"
    ]
    assert not (tmp_path / "annotations").exists()
    assert "resuming" in invoke("annotate", photos, "--model", tiny_bundle).stderr


@pytest.mark.parametrize("command", [("index",), ("search", "grass"), ("dedup",), ("annotate", "photos")])
def test_an_interruption_before_anything_is_kept_says_no_more(
    command: tuple[str, ...], indexed: Path, tiny_bundle: Path, invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aaam_pipeline.index.build.build", stop)
    monkeypatch.setattr("aaam_pipeline.search.open", stop)
    monkeypatch.setattr("aaam_pipeline.annotate.inputs.find", stop)
    options = (
        ("--model", tiny_bundle) if command[0] == "annotate" else () if command[0] == "index" else ("--index", indexed)
    )
    result = invoke(*command, *options, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_a_limit_of_memory_that_is_no_size_is_a_usage_error(annotated: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("index", annotated, "--out", tmp_path / "index", "--max-memory", "much")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: --max-memory much: this is no size; write 8GB, 500MB or a number of bytes"
    ]
    assert not (tmp_path / "index").exists()
