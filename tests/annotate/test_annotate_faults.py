"""The k-th write, flush, rename ... fails, for every k: the annotations are the old ones or the new ones."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Invoke, make_photo
from runs import PARTS, annotate, beside, by_name, check, states

from aaam_pipeline.core import artifacts

SMALL = PARTS._replace(part_size=2)
COMMAND = ("--backend", "torch", "--device", "cpu", "--num-workers", 0, "--batch-size", 1, "--part-size", 2)
WORK = ["fresh", "overwrite", "update"]
# what a kind of fault hits, by the name under which the program finds it
KINDS: dict[str, list[tuple[Any, str]]] = {
    "write": [(pq.ParquetWriter, "write_table"), (shutil, "copyfileobj")],
    "fsync": [(os, "fsync")],
    "rename": [(os, "rename"), (os, "replace"), (artifacts, "_exchange")],
    "link": [(os, "link")],
    "mkdir": [(os, "mkdir")],
    "remove": [(os, "unlink"), (os, "rmdir")],
}


class Faults:
    """Makes the `first`-th of some operations below a folder fail, and those after it too if it is to go on so."""

    def __init__(self, place: Path, code: int, first: int, lasting: bool) -> None:
        self.place, self.code, self.first, self.lasting = place, code, first, lasting
        self.count = 0
        self.off = False

    def fails(self) -> bool:
        if self.off:
            return False
        self.count += 1
        return self.count == self.first or (self.lasting and self.count > self.first > 0)

    def error(self) -> OSError:
        return OSError(self.code, os.strerror(self.code))

    def around(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def faulty(*arguments: Any, **named: Any) -> Any:
            if not self.fails():
                return function(*arguments, **named)
            if name == "_exchange":
                return False
            raise self.error()

        return faulty

    def open(self, path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        """Stands in for `Path.open`: what is written breaks off in the middle."""
        stream = open(path, mode, *rest, **named)  # noqa: PTH123, SIM115
        return _Torn(stream, self) if "w" in mode and path.is_relative_to(self.place) else stream


class _Torn:
    def __init__(self, stream: Any, faults: Faults) -> None:
        self._stream, self._faults = stream, faults

    def write(self, content: Any) -> int:
        if self._faults.fails():
            self._stream.write(content[: len(content) // 2])
            self._stream.flush()
            raise self._faults.error()
        return int(self._stream.write(content))

    def __enter__(self) -> "_Torn":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs, in two parts. In an update 2.jpg is new, 1.jpg is changed, and 8.jpg is gone."""
    folder = tmp_path_factory.mktemp("faults") / "photos"
    for number in range(3):
        make_photo(folder / f"{number}.jpg", number)
    return folder


class Case:
    """Annotations in the state before, and what they must be in the end."""

    def __init__(self, work: str, photographs: Path, model: Path, place: Path) -> None:
        self.work, self.model, self.out = work, model, place / "annotations"
        self.folder = place / "photos"
        shutil.copytree(photographs, self.folder)
        annotate(self.folder, model, place / "whole", SMALL)
        self.new = by_name(place / "whole")
        self.old: pa.Table | None = None
        if work == "fresh":
            return
        if work == "update":
            (self.folder / "2.jpg").rename(place / "2.jpg")
            make_photo(self.folder / "1.jpg", 70, size=(90, 40))
            make_photo(self.folder / "8.jpg", 80)
        annotate(self.folder, model, place / "before", SMALL)
        self.old = by_name(place / "before")
        if work == "update":
            (place / "2.jpg").rename(self.folder / "2.jpg")
            shutil.copy2(photographs / "1.jpg", self.folder / "1.jpg")
            (self.folder / "8.jpg").unlink()

    def reset(self) -> None:
        for folder in (self.out, *(self.out.parent / name for name in beside(self.out))):
            shutil.rmtree(folder, ignore_errors=True) if folder.is_dir() else folder.unlink(missing_ok=True)
        if self.old is not None:
            shutil.copytree(self.out.with_name("before"), self.out)

    @property
    def words(self) -> tuple[Any, ...]:
        more = ("--on-existing", "overwrite") if self.work == "overwrite" else ()
        return ("annotate", self.folder, "--model", self.model, "--out", self.out, *COMMAND, *more)

    def command(self, invoke: Invoke) -> Any:
        return invoke(*self.words)

    def left(self) -> frozenset[tuple[str, int]]:
        """Return what a run left on disk: names, and the sizes of rows (statistics hold seconds, of any length)."""
        folders = (self.out, *(self.out.parent / name for name in beside(self.out)))
        files = (path for folder in folders for path in (folder, *folder.rglob("*")) if path.exists())
        return frozenset(
            (str(path.relative_to(self.out.parent)), path.stat().st_size if path.suffix == ".parquet" else 0)
            for path in files
        )

    def is_new(self) -> bool:
        """Tell whether what is there is new; it is whole, and old if not."""
        if not self.out.exists():
            assert self.old is None
            return False
        check(self.out)
        now = by_name(self.out)
        assert now.equals(self.new) or now.equals(self.old)
        return bool(now.equals(self.new))


@pytest.fixture
def case(work: str, photographs: Path, tiny_bundle: Path, tmp_path: Path) -> Case:
    return Case(work, photographs, tiny_bundle, tmp_path)


def inject(patch: pytest.MonkeyPatch, kind: str, faults: Faults) -> None:
    everything = [each for name, found in KINDS.items() if name != "remove" for each in found]
    for owner, name in everything if kind == "everything" else KINDS[kind]:
        patch.setattr(owner, name, faults.around(getattr(owner, name), name))
    if kind in ("write", "everything"):
        patch.setattr(Path, "open", lambda path, *rest, **named: faults.open(path, *rest, **named))


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("kind", [*KINDS, "everything"])
def test_whatever_operation_fails_the_old_or_the_new_state_is_there(kind: str, case: Case, invoke: Invoke) -> None:
    # a disk that is full stays full for everything; an error of one kind comes once
    code, lasting = (errno.ENOSPC, True) if kind == "everything" else (errno.EIO, False)
    counting = Faults(case.out.parent, 0, 0, lasting)
    case.reset()
    with pytest.MonkeyPatch.context() as patch:
        inject(patch, kind, counting)
        assert case.command(invoke).exit_code == 0
    assert counting.count or kind == "link"
    recovered = set()
    for first in range(1, counting.count + 1):
        case.reset()
        with pytest.MonkeyPatch.context() as patch:
            inject(patch, kind, Faults(case.out.parent, code, first, lasting))
            result = case.command(invoke)
        where = f"{kind} {first} of {counting.count}: {result.stderr}"
        if result.exit_code == 0:
            # done another way: a copy for a link, two renames for an exchange
            assert case.is_new(), where
        else:
            case.is_new()
            assert_one_line(result.stderr, os.strerror(code), str(case.out.parent))
        # from what one fault left like another, the next run recovers in the same way
        if case.left() in recovered:
            continue
        recovered.add(case.left())
        assert case.command(invoke).exit_code == 0, where
        assert case.is_new(), where
        assert beside(case.out) == [], where


# the command line, with a limit on the size of files from when a function of the runner is called
LIMITED = """
import resource, sys
from aaam_pipeline.__main__ import main
from aaam_pipeline.annotate import runner
limit, name = int(sys.argv.pop(1)), sys.argv.pop(1)
function = getattr(runner, name)
def limited(*arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return function(*arguments)
setattr(runner, name, limited)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["update"])
@pytest.mark.parametrize(
    ("limit", "since", "named"),
    [(0, "exclusive", "annotations"), (4000, "exclusive", "(TMPDIR)"), (500, "_plan", ""), (900, "_make", "")],
)
def test_a_limit_on_the_size_of_files_is_met_with_one_line(
    limit: int, since: str, named: str, case: Case, invoke: Invoke
) -> None:
    """A real one, below Python and its libraries: nothing beyond so many bytes of a file can be written."""
    case.reset()
    before = states(case.out)
    words = (sys.executable, "-c", LIMITED, limit, since, *case.words)
    environment = {**os.environ, "TMPDIR": str(case.out.parent)}
    done = subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert_one_line(done.stderr, "File too large", named or str(case.out))
    assert states(case.out) == before
    assert not case.is_new()
    assert not list(case.out.parent.glob("aaam-*"))
    assert case.command(invoke).exit_code == 0
    assert case.is_new()
    assert beside(case.out) == []


def assert_one_line(said: str, reason: str, place: str) -> None:
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, said
    assert reason in errors[0], said
    assert place in errors[0], said
    assert said.endswith(f"{errors[0]}\n"), said
    assert "Traceback" not in said
    assert "a defect" not in said
