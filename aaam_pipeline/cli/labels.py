"""`aaam-pipe labels`: the words that one can search for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import defaults, output, render, settings
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.text import counted, unaccented

if TYPE_CHECKING:
    from aaam_pipeline.index.manifest import IndexManifest
    from aaam_pipeline.search.label_counts import LabelCount


def labels(
    context: typer.Context,
    text: Annotated[
        str | None, typer.Argument(help="List only labels that hold this text; case and accents do not count.")
    ] = None,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    no_decisions: defaults.NoDecisions = False,
    as_json: output.Json = False,
    words: Annotated[
        bool, typer.Option("--words", help="Print the words file in effect (synonyms and parents), to be edited.")
    ] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """List the labels one can search for, with how many images hold each, as decided; those known badly are marked."""
    if words:
        if as_json or text is not None:
            raise UsageError(f"{'--json' if as_json else 'a text'} and --words exclude each other")
        _print_words(settings.current(context).values.get(("search", "words")))
        return
    from msgspec import to_builtins

    from aaam_pipeline.formats.vocabulary import Vocabulary
    from aaam_pipeline.index import manifest
    from aaam_pipeline.search.thesaurus import LabelResolver

    info = render.PlainReporter(quiet).info
    folder = defaults.index(index, quiet)
    read = manifest.read(folder)
    known = _counts(folder, read, defaults.ledger(context, folder), info)
    found = [(label, count) for label, count in known.items() if unaccented(text or "") in unaccented(label)]
    if not found:
        meant = LabelResolver(Vocabulary(read.labels)).find(text or "")
        names = "|".join(read.labels[id] for id in meant)
        searched = f"; a search for it is one for {names}" if meant else ""
        info(f"none of {counted(len(known), 'label')} holds {text!r}{searched}")
    supports = dict(zip(read.vocabulary, read.words, strict=False))
    taught, weak = {column.label: column for column in read.taught}, read.weak
    for label, count in found:
        if as_json:
            decided = {"decided_yes": count.yes, "decided_no": count.no} if count.yes + count.no else {}
            support = {} if label not in supports else {"known_badly": weak.get(label), **to_builtins(supports[label])}
            if label in taught:
                support = {"known_badly": weak.get(label), "ap": taught[label].ap, "taught": taught[label].origin}
            render.json_line({"label": label, "images": count.images, **decided, **support})
        else:
            origin = taught[label].origin if label in taught else "" if label in read.labels else "no model knows it"
            said = [f"known badly: {weak[label]}" if label in weak else origin]
            said += [f"decided: {count.yes} yes, {count.no} no"] if count.yes + count.no else []
            remark = "; ".join(filter(None, said))
            print(f"{count.images:8d}  {printable(label)}{f'  ({remark})' if remark else ''}")


def _counts(
    folder: Path, read: "IndexManifest", ledger: Path | Literal[False], info: Callable[[str], None]
) -> "dict[str, LabelCount]":
    """Return of how many images each label holds; the manifest says it where nobody decided anything."""
    from aaam_pipeline.search.label_counts import LabelCount

    if not ledger or not ledger.exists():
        taught = (column.images for column in read.taught)
        return {
            label: LabelCount(images) for label, images in zip(read.labels, [*read.label_counts, *taught], strict=True)
        }
    import aaam_pipeline.search as engine

    with engine.open(folder, decisions=ledger) as opened:
        for remark in opened.decisions.remarks():
            info(remark)
        return opened.label_counts()


def _print_words(setting: settings.Setting | None) -> None:
    from aaam_pipeline.search.thesaurus import SHIPPED, load

    own = os.environ.get(defaults.WORDS) or (setting and setting.value)
    path = Path(own) if own else SHIPPED
    load(path)
    print(path.read_text(encoding="utf8"), end="")
