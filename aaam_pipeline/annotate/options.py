"""What a user may choose in `annotate`, and the defaults, which the command line shows. Loads no library."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.imaging import MAX_PIXELS

BackendName = Literal["auto", "torch", "torch-bf16", "openvino"]
EngineName = Literal["local", "ray"]
OnExisting = Literal["resume", "overwrite", "error"]

__all__ = ["Assignment", "BackendName", "EngineName", "OnExisting", "Options", "Selection"]


class Selection(NamedTuple):
    """Options of the search. They choose among what is found in folders, globs and tars, never what is named itself.

    Attributes:
        recursive: search the folders in a folder.
        hidden: take names that begin with a dot.
        all_folders: enter also the folders of systems and photo programs (`@eaDir`, `$RECYCLE.BIN`), and take their
            files.
        exclude: patterns of what is left out; each is tried on the path below the root and on every single name of it.
        column: the column of a CSV or Parquet list that holds the paths.
        limit: stop after so many images.
    """

    recursive: bool = True
    hidden: bool = False
    all_folders: bool = False
    exclude: Sequence[str] = ()
    column: str | None = None
    limit: int | None = None


class Options(NamedTuple):
    """How to annotate. `num_workers` None: one decoding process a core; `timeout`: seconds for one image.

    `retry_failed`: try again what failed for good, too; `forget`: drop every row that has no input; `root`: places that
    were moved, each OLD=NEW. `file_times`: rows say when files were modified, and where links lead; not so in a
    pipeline, whose outputs are the same on every checkout. `accept_truncated`: annotate pictures that lack rows by the
    rows that are there. `decisions`: the ledger that says into which files keywords were written.
    """

    batch_size: int = 32
    num_workers: int | None = None
    device: str = "auto"
    backend: BackendName = "auto"
    engine: EngineName = "local"
    ray_address: str | None = None
    assignment: Assignment = Assignment()
    on_existing: OnExisting = "resume"
    retry_failed: bool = False
    forget: bool = False
    root: Sequence[str] = ()
    max_failure_rate: float = 0.1
    part_size: int = 1024
    timeout: float = 60.0
    max_pixels: int = MAX_PIXELS
    file_times: bool = True
    accept_truncated: bool = False
    decisions: Path | None = None
