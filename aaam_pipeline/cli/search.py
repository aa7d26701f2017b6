"""`aaam-pipe search`, `similar` and `labels`: all that reads an index."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.guard import guard
from aaam_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from aaam_pipeline.search import Embed

Top = Annotated[int, typer.Option("--top", "-t", min=1, help="How many images to show.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")]
Paths = Annotated[bool, typer.Option("--paths", help="Paths only, one a line.")]


class QueryCommand(TyperCommand):
    """A command whose query may begin with a minus: `search -crowd dog` needs no `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; a word with one minus that is no option belongs to the query."""
        names = {*ctx.help_option_names, *(name for each in self.params for name in each.opts)}
        end = args.index("--") if "--" in args else len(args)
        # with a space before it, which means nothing in a query, it is not taken for an option
        words = [f" {word}" if _is_query(word, names) else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def _is_query(word: str, names: set[str]) -> bool:
    option = word in names or (word[:2] in names and re.fullmatch(r"=?\d+", word[2:]))
    return word[:1] == "-" and word[1:2] not in ("", "-") and not option


def search(
    query: Annotated[
        list[str], typer.Argument(help='A query: "football dog|cat -crowd width>1000"; see docs/search.md.')
    ],
    top: Top = 20,
    as_json: Json = False,
    paths: Paths = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each term of the query contributed to the score of a hit.")
    ] = False,
    words: defaults.Words = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Find images by keywords, best first."""
    with guard():
        _one_format(as_json, paths)
        if explain and paths:
            raise UsageError("--explain and --paths exclude each other")
        import aaam_pipeline.search as engine
        from aaam_pipeline.cli import render
        from aaam_pipeline.core.progress import NullReporter
        from aaam_pipeline.core.words import load

        own = load(words) if words else None
        with engine.open(defaults.index(index, quiet), words=own) as opened:
            asked = opened.parse(" ".join(query))
            say = NullReporter().say if quiet else render.PlainReporter().say
            for note in asked.notes:
                say(note)
            if explain:
                explained = opened.explain(asked, top)
                render.explanations(explained, as_json=as_json)
                found = [each.hit for each in explained]
            else:
                found = opened.query(asked, top)
                render.hits(found, as_json=as_json, paths=paths)
            if not found:
                say(f"none of {opened.manifest.images} images fits this query")


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
        bool, typer.Option("--words", help="Print the words file in effect (synonyms and parents), to be edited.")
    ] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """List the labels one can search for, with how many images were assigned each."""
    with guard():
        if words:
            if as_json:
                raise UsageError("--json and --words exclude each other")
            _print_words()
            return
        import json

        from aaam_pipeline.index import manifest

        read = manifest.read(defaults.index(index, quiet))
        for label, count in zip(read.vocabulary, read.label_counts, strict=True):
            print(json.dumps({"label": label, "images": count}) if as_json else f"{count:8d}  {label}")


def _print_words() -> None:
    from aaam_pipeline.core.words import SHIPPED, load

    own = os.environ.get(defaults.WORDS)
    path = Path(own) if own else SHIPPED
    load(path)
    print(path.read_text(encoding="utf8"), end="")


def _embedder(model: Path, device: str, model_id: str) -> "Embed":
    """Return a function that loads the model only when a photograph needs it."""

    def embed(photo: Path):  # type: ignore[no-untyped-def]
        from aaam_pipeline.annotate import embedding

        return embedding.embed(model, device, photo, model_id)

    return embed


def _one_format(as_json: bool, paths: bool) -> None:
    if as_json and paths:
        raise UsageError("--json and --paths exclude each other")
