"""What tests of whole runs share: a quick `annotate`, Ctrl-C at a chosen image, and looks at what lies on disk."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aaam_pipeline.annotate import inputs, reader, runner, verify
from aaam_pipeline.annotate.options import Options, Selection
from aaam_pipeline.core.progress import Advance, NullReporter, Reporter
from aaam_pipeline.formats.parts import AnnotationsManifest

# one image a batch: scores are the same bits whatever an image's neighbours are
PARTS = Options(part_size=6, batch_size=1, num_workers=0, backend="torch", device="cpu", max_failure_rate=1)

States = dict[str, tuple[int, int]]


class Watcher:
    """Keeps what is said and how many images are annotated; presses Ctrl-C once `stop_after` of this run are done."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.stop_after = stop_after
        self.made = 0

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        def advance(count: int, failed: int = 0) -> None:
            if title == "annotate":
                self.made += count
                if self.stop_after is not None and self.made >= self.stop_after:
                    raise KeyboardInterrupt

        yield advance

    def info(self, text: str) -> None:
        self.said.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.said)


def annotate(
    items: Path | Iterable[inputs.InputItem],
    model: Path,
    out: Path,
    options: Options = PARTS,
    stop_after: int | None = None,
) -> tuple[AnnotationsManifest, Watcher]:
    watcher = Watcher(stop_after)
    if isinstance(items, Path):
        return find_and_annotate([items], model, out, options, watcher), watcher
    return runner.annotate(items, model, out, options, watcher), watcher


def find_and_annotate(
    given: Sequence[Path | str],
    model: Path,
    out: Path,
    options: Options = PARTS,
    report: Reporter | None = None,
    **selection: Any,
) -> AnnotationsManifest:
    """What the command line does: the run knows where inputs were looked for."""
    chosen = Selection(**selection)
    scope = inputs.Scope(selection=chosen)
    found = inputs.find(given, chosen, scope=scope)
    return runner.annotate(found, model, out, options, report or NullReporter(), scope)


def interrupted(
    items: Path | Iterable[inputs.InputItem], model: Path, out: Path, options: Options = PARTS, after: int = 13
) -> Path:
    """Press Ctrl-C when `after` images are done; return the work folder."""
    with pytest.raises(KeyboardInterrupt):
        annotate(items, model, out, options, stop_after=after)
    return out.with_name(f"{out.name}.partial")


def rows(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


def by_name(out: Path) -> pa.Table:
    """The rows in the order of their names: an update puts them into another one."""
    return rows(out).sort_by([("root", "ascending"), ("path", "ascending")]).combine_chunks()


def states(folder: Path) -> States:
    """Which files lie below a folder: a file that is written anew has another time or another inode."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def check(out: Path) -> AnnotationsManifest:
    """Let `aaam-pipe verify` look at annotations."""
    return verify.verify(out, NullReporter())


def beside(out: Path) -> list[str]:
    """What lies beside an output because of it."""
    return sorted(path.name for path in out.parent.iterdir() if out.name in path.name and path != out)


def same_as_from_scratch(given: Sequence[Path], model: Path, out: Path) -> bool:
    """Whether annotations that were kept up to date are those that one run makes, and nothing else is left beside."""
    fresh = out.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    find_and_annotate(given, model, fresh)
    check(out)
    return bool(by_name(out).equals(by_name(fresh)) and not beside(out))


def note_decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each image that is decoded from now on, in order."""
    names: list[str] = []
    decode = reader.decode

    def noting(item: inputs.InputItem, *rest: Any) -> reader.ReadImage:
        names.append(item.path)
        return decode(item, *rest)

    monkeypatch.setattr(reader, "decode", noting)
    return names
