"""`aaam-pipe search`, `similar` and `labels`: all that reads an index."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.guard import guard
from aaam_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from aaam_pipeline.search import Embed

Top = Annotated[int, typer.Option("--top", "-t", min=1, help="How many images to show.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")]
Paths = Annotated[bool, typer.Option("--paths", help="Paths only, one a line.")]


def search(
    query: Annotated[
        list[str], typer.Argument(help='What must hold: "football grass", "dog|cat -crowd", "person>=0.8 after:2024".')
    ],
    top: Top = 20,
    as_json: Json = False,
    paths: Paths = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each term of the query gives.")] = False,
    words: defaults.WordsFile = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Find images by keywords, best first.

    Words side by side must all hold, a|b one of them, -a not. "traffic light" is one label. Filters: person>=0.8,
    width>1000, path:holiday/*, after:2024-05-01. A query that begins with a minus comes after --.
    """
    with guard():
        _one_format(as_json, paths)
        import aaam_pipeline.search as engine
        from aaam_pipeline.cli import render
        from aaam_pipeline.core.words import Words

        known = Words.read(words) if words else None
        with engine.open(defaults.index(index, quiet), words=known) as opened:
            text = " ".join(query)
            say = render.reporter_of(quiet).say
            for word, labels in opened.parse(text).taken.items():
                say(f"{word} is searched as {labels}")
            found = opened.query(text, top, explain)
            render.hits(found, as_json=as_json, paths=paths, explain=explain)
            if not found:
                say(f"no image of {opened.manifest.images} fits this query")


def similar(
    photo: Annotated[str, typer.Argument(help="A photograph, in the index or not; a URL that is in it.")],
    top: Top = 20,
    as_json: Json = False,
    paths: Paths = False,
    index: defaults.Index = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model bundle for a photograph that is not in the index. Default: the index's own."),
    ] = None,
    device: defaults.Device = "auto",
    quiet: defaults.Quiet = False,
) -> None:
    """Find images that look like a photograph, most like first."""
    with guard():
        _one_format(as_json, paths)
        import aaam_pipeline.search as engine
        from aaam_pipeline.cli import render
        from aaam_pipeline.index import manifest

        folder = defaults.index(index, quiet)
        read = manifest.read(folder)
        own = model or Path(read.model_path)
        with engine.open(folder, _embedder(own, device, read.model_id)) as opened:
            render.hits(opened.similar(photo, top), as_json=as_json, paths=paths)


def labels(
    index: defaults.Index = None,
    as_json: Json = False,
    words: Annotated[
        bool, typer.Option("--words", help="Print the file of synonyms and parents that is used, to edit it.")
    ] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """List the labels one can search for, with how many images were assigned each."""
    with guard():
        import json

        if words:
            from aaam_pipeline.core.words import SHIPPED, Words

            used = Path(os.environ.get("AAAM_WORDS") or SHIPPED)
            Words.read(used)
            print(used.read_text(encoding="utf8"), end="")
            return
        from aaam_pipeline.index import manifest

        read = manifest.read(defaults.index(index, quiet))
        for label, count in zip(read.vocabulary, read.label_counts, strict=True):
            print(json.dumps({"label": label, "images": count}) if as_json else f"{count:8d}  {label}")


def _embedder(model: Path, device: str, model_id: str) -> "Embed":
    """Return a function that loads the model only when a photograph needs it."""

    def embed(photo: Path):  # type: ignore[no-untyped-def]
        from aaam_pipeline.annotate import embedding

        return embedding.embed(model, device, photo, model_id)

    return embed


def _one_format(as_json: bool, paths: bool) -> None:
    if as_json and paths:
        raise UsageError("--json and --paths exclude each other")
