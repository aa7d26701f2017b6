"""`aaam-pipe search` and `labels`: keywords."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from aaam_pipeline.cli import completion, defaults, options, output, settings
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import printable


class QueryCommand(options.BaseCommand):
    """A command whose query may begin with a minus: `search -crowd dog` needs no `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; a word with one minus that is no option belongs to the query."""
        names = {*ctx.help_option_names, *(name for each in self.get_params(ctx) for name in each.opts)}
        end = args.index("--") if "--" in args else len(args)
        # with a space before it, which means nothing in a query, it is not taken for an option
        words = [f" {word}" if _is_query(word, names) else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def _is_query(word: str, names: set[str]) -> bool:
    option = word in names or (word[:2] in names and re.fullmatch(r"=?\d+", word[2:])) or re.fullmatch("-v+", word)
    return word[:1] == "-" and word[1:2] not in ("", "-") and not option


def search(
    context: typer.Context,
    query: Annotated[
        list[str],
        typer.Argument(
            help='A query: "football dog|cat -crowd width>1000"; see docs/search.md.', autocompletion=completion.labels
        ),
    ],
    top: output.Top = 20,
    as_json: output.Json = False,
    csv: output.Csv = False,
    paths: output.Paths = False,
    print0: output.Print0 = False,
    preview: output.Preview = False,
    copy_to: output.CopyTo = None,
    link_to: output.LinkTo = None,
    html: output.Html = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each term of the query contributed to the score of a hit.")
    ] = False,
    words: defaults.Words = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Find images by keywords, best first."""
    out = output.OutputOptions.of(context)
    import aaam_pipeline.search as engine
    from aaam_pipeline.cli import render
    from aaam_pipeline.search.thesaurus import load

    own = load(words) if words else None
    with engine.open(defaults.index(index, quiet), thesaurus=own) as opened:
        asked = opened.parse(" ".join(query))
        info = (render.QuietReporter if quiet else render.PlainReporter)().info
        for note in asked.notes:
            info(note)
        explained = opened.explain(asked, top) if out.explain else None
        found = opened.query(asked, top) if explained is None else [each.hit for each in explained]
        out.write(found, title=" ".join(query), labels=opened.labels(asked), explained=explained, quiet=quiet)
        if not found:
            info(f"none of {opened.manifest.images} images fits this query")


def labels(
    context: typer.Context,
    index: defaults.Index = None,
    as_json: output.Json = False,
    words: Annotated[
        bool, typer.Option("--words", help="Print the words file in effect (synonyms and parents), to be edited.")
    ] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """List the labels one can search for, with how many images were assigned each."""
    if words:
        if as_json:
            raise UsageError("--json and --words exclude each other")
        _print_words(settings.current(context).values.get(("search", "words")))
        return
    from aaam_pipeline.cli import render
    from aaam_pipeline.index import manifest

    read = manifest.read(defaults.index(index, quiet))
    for label, count in zip(read.vocabulary, read.label_counts, strict=True):
        if as_json:
            render.json_line({"label": label, "images": count})
        else:
            print(f"{count:8d}  {printable(label)}")


def _print_words(setting: settings.Setting | None) -> None:
    from aaam_pipeline.search.thesaurus import SHIPPED, load

    own = os.environ.get(defaults.WORDS) or (setting and setting.value)
    path = Path(own) if own else SHIPPED
    load(path)
    print(path.read_text(encoding="utf8"), end="")
