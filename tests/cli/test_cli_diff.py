"""`aaam-pipe diff` as a shell sees it: what it prints, accepts and refuses."""

import json
import shutil
from pathlib import Path

import pytest
from cli.failures import failed
from conftest import LABELS, Invoke


@pytest.fixture
def both(annotated: Path, tmp_path: Path, invoke: Invoke) -> tuple[Path, Path]:
    """Annotations, and the same with another threshold."""
    one, other = (Path(shutil.copytree(annotated, tmp_path / name)) for name in ("annotations", "new"))
    assert invoke("relabel", other, "--threshold", "0.3", "--no-keep", "-q").exit_code == 0
    return one, other


def lines(invoke: Invoke, *words: str | Path) -> list[dict[str, object]]:
    done = invoke("diff", *words, "--json", "-q")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_lines_for_people_and_for_programs(invoke: Invoke, both: tuple[Path, Path]) -> None:
    done = invoke("diff", *both, "--samples", "2")
    assert done.exit_code == 0
    assert "24 photographs in both" in done.stderr
    shown = [line.split("\t") for line in done.stdout.splitlines()]
    assert {line[0] for line in shown if line[0]} <= set(LABELS)
    assert any(line[4].startswith("+ 0.") for line in shown if not line[0])
    found = lines(invoke, *both, "--all", "--samples", "2")
    assert {line["label"] for line in found} == set(LABELS)
    assert all(line["lost"] == 0 for line in found)
    assert any(line["gained"] and line["gained_precision"]["by"] == "scores" for line in found)  # type: ignore[index]
    assert [line["label"] for line in lines(invoke, *both, "--label", "DOG")] == ["dog"]
    assert lines(invoke, both[0], both[0]) == []


def test_accept_hold_and_revert(invoke: Invoke, both: tuple[Path, Path]) -> None:
    one = both[0]
    was = {file.name: file.read_bytes() for file in one.iterdir()}
    last = lines(invoke, *both, "--accept", "dog", "--dry-run")[-1]
    assert (last["accepted"], last["dry_run"]) == (["dog"], True)
    assert {file.name: file.read_bytes() for file in one.iterdir()} == was
    done = invoke("diff", *both, "--accept", "dog")
    assert done.exit_code == 0
    assert "1 label accepted, 4 held; next: aaam-pipe index" in done.stderr
    assert {line["label"]: line["gained"] for line in lines(invoke, *both, "--all")}["dog"] == 0
    assert invoke("verify", one).exit_code == 0
    assert invoke("diff", one, "--revert").exit_code == 0
    assert {file.name: file.read_bytes() for file in one.iterdir()} == was
    held = lines(invoke, *both, "--hold", "dog", "--hold", "grass")[-1]
    assert held["accepted"] == sorted(set(LABELS) - {"dog", "grass"})
    assert set(held["held"]) == {"dog", "grass"}  # type: ignore[call-overload]
    assert invoke("diff", *both, "--accept-all").exit_code == 0
    assert lines(invoke, *both) == []


def test_labels_are_published_though_nobody_reads_the_table(
    invoke: Invoke, both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise BrokenPipeError

    with monkeypatch.context() as patched:
        patched.setattr("aaam_pipeline.cli.render.rows", gone)
        invoke("diff", *both, "--accept-all")
    assert lines(invoke, *both) == []


def test_what_it_refuses(invoke: Invoke, both: tuple[Path, Path], indexed: Path) -> None:
    one, other = both
    failed(invoke("diff", one), 2, "name two folders")
    failed(invoke("diff", one, indexed), 2, "is an index")
    failed(invoke("diff", one, "nowhere"), 2, "nowhere")
    failed(invoke("diff", one, other, "--label", "dgo", "-q"), 2, "label of neither; did you mean dog?")
    failed(invoke("diff", one, other, "--accept", "dog", "--hold", "dog", "-q"), 2, "accepted and held")
    failed(invoke("diff", one, other, "--accept-all", "--hold", "dog"), 2, "exclude each other")
    failed(invoke("diff", one, other, "--revert"), 2, "exclude each other")
    failed(invoke("diff", one, "--revert"), 2, "nothing to undo")
