"""What `aaam-pipe keywords` does with photographs themselves: options, the writer, and the way back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.project import Project
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.cli.keyword_changes import ShownChanges
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.exchange.embedding import PacketWriter

Force = Literal["signed", "trailing", "links"]
InPlaceOption = Annotated[
    bool, typer.Option("--in-place", help="Write into JPEG, PNG, WebP and TIFF files themselves, never raw files.")
]
KeepTimes = Annotated[
    bool, typer.Option("--keep-times", help="With --in-place: files keep the time of their last change.")
]
ForceSigned = Annotated[
    bool, typer.Option("--force-signed", help="With --in-place: also files that are signed (C2PA), which it breaks.")
]
ForceTrailing = Annotated[
    bool,
    typer.Option(
        "--force-trailing",
        help="With --in-place: also files that hold data after the image (motion photos), or several pictures (MPF).",
    ),
]
ForceLinks = Annotated[
    bool,
    typer.Option("--force-links", help="With --in-place: also files of several names (hard links), which it parts."),
]


def asked_for(*, signed: bool, trailing: bool, links: bool) -> list[Force]:
    """Return the kinds of files that are changed since it was asked for."""
    asked: dict[Force, bool] = {"signed": signed, "trailing": trailing, "links": links}
    return [kind for kind, is_asked in asked.items() if is_asked]


@contextmanager
def packet_writer(
    ledger: Path, force: Sequence[Force], shown: "ShownChanges", *, keep_times: bool
) -> "Iterator[PacketWriter]":
    """Yield what writes into photographs themselves."""
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.exchange.embedding import PacketWriter

    append, folder = Ledger(ledger).append, embedded_in(ledger)
    writer = PacketWriter(folder, append, force=force, keep_times=keep_times, refused=shown.late)
    # a dry run makes no folder, and no lock
    with nullcontext() if shown.dry_run else writer:
        yield writer


def embedded_in(ledger: Path) -> Path:
    """Return the folder of the journal of photographs that keywords were written into: in the project's folder."""
    return Project(ledger.absolute().parent).work("keywords")


def undo(paths: Sequence[Path], ledger: Path, shown: "ShownChanges", report: "Reporter") -> None:
    """Put back the bytes of the photographs that keywords were written into, below folders or of annotations."""
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.exchange import embedding
    from aaam_pipeline.exchange.keywords.in_place import take_out
    from aaam_pipeline.exchange.keywords.undoing import roots_of

    folder, roots = embedded_in(ledger), roots_of(paths)

    def is_meant(file: Path) -> bool:
        return any(file.is_relative_to(root) for root in roots)

    if shown.dry_run:
        if meant := embedding.count(folder, is_meant):
            report.info(f"photographs: {counted(meant, 'change', ',')} to take back")
        return
    back, stay = embedding.undo(
        folder,
        lambda file: take_out(file, Ledger(ledger).append, Ledger(ledger).append),
        lambda file, why: shown.failure(path_text(file), why),
        is_meant,
    )
    if back or stay:
        staying = f", {stay:,} stay (they were changed since, or are gone)" if stay else ""
        report.info(f"photographs: {counted(back, 'change', ',')} taken back{staying}")
