"""A folder in a folder that cannot be listed: said also with `-q`, one failed row, and gone when it can be listed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import rows

OPTIONS = ("--out", "out", "--num-workers", "0", "--backend", "torch", "-q")


@pytest.fixture
def locked(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders that cannot be listed, whoever runs the tests; `photos` are copied to `lib` in the current folder."""
    names: list[str] = []
    for index, photo in enumerate(sorted(photos.rglob("*.*"))[:6]):
        target = tmp_path / "lib" / ("a", "b", "locked")[index % 3] / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo.read_bytes())

    def refusing(real: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def listing(path: Any = ".") -> Any:
            if isinstance(path, str) and Path(path).name in names:
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        return listing

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    return names


def test_it_is_said_and_counts_as_one_failure(
    locked: list[str], invoke: Callable[..., Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    locked.append("locked")
    result = invoke("annotate", "lib", "--model", tiny_bundle, *OPTIONS)
    assert f"cannot list {tmp_path}/lib/locked/: its pictures are missing" in result.stderr
    assert result.exit_code == 3
    made = {row["path"]: row for row in rows(tmp_path / "out").to_pylist()}
    assert len(made) == 5
    failed = made.pop("locked/")
    assert (failed["status"], failed["error_type"]) == ("failed", "unreadable")
    assert failed["error_message"] == "the folder cannot be listed: Permission denied"
    assert {row["status"] for row in made.values()} == {"ok"}


def test_of_many_the_first_are_named(
    locked: list[str], invoke: Callable[..., Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    for number in range(8):
        (tmp_path / f"lib/no{number}").mkdir()
        locked.append(f"no{number}")
    result = invoke("annotate", "lib", "--model", tiny_bundle, *OPTIONS, "--dry-run")
    said = result.stderr.splitlines()
    assert [line for line in said if line.startswith("cannot list ")][:-1] == [
        f"cannot list {tmp_path}/lib/no{number}/: its pictures are missing, a failed row says so" for number in range(5)
    ]
    assert said[-1] == "cannot list 8 folders; a failed row stands for each"


def test_its_row_is_gone_when_it_can_be_listed(
    locked: list[str], invoke: Callable[..., Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    locked.append("locked")
    assert invoke("annotate", "lib", "--model", tiny_bundle, *OPTIONS).exit_code == 3
    locked.clear()
    result = invoke("annotate", "lib", "--model", tiny_bundle, *OPTIONS)
    assert (result.exit_code, result.stderr) == (0, "")
    made = rows(tmp_path / "out").to_pylist()
    assert len(made) == 6
    assert {row["status"] for row in made} == {"ok"}
