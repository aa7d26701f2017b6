"""`aaam-pipe`: annotate photographs, index them, search them by keyword."""

from typing import Annotated

import typer

from aaam_pipeline import __version__
from aaam_pipeline.cli import annotate, config, doctor, figures, index, model, options, report, search, similar, verify

app = typer.Typer(
    name="aaam-pipe",
    help="Annotate folders of photographs with keywords, and search them.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or unknown word, 3 more failures than --max-failure-rate, 4 integrity, "
    "130 interrupted.",
    no_args_is_help=True,
    # plain help: rich would cost half of the time that --help takes
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"aaam-pipe {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: options.Debug = False,
    verbose: options.Verbose = 0,
    log_file: options.LogFile = None,
    no_config: options.NoConfig = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Annotate folders of photographs with keywords, and search them."""


app.command("annotate")(annotate.annotate)
app.command("verify")(verify.verify)
app.command("index")(index.index)
app.command("search", cls=search.QueryCommand)(search.search)
app.command("similar")(similar.similar)
app.command("dedup")(similar.dedup)
app.command("labels")(search.labels)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)
app.command("config")(config.config)
app.add_typer(figures.app, name="figures")
app.add_typer(model.app, name="model")

# every command takes the options of the program, too; `search` has such a class of its own
for each in [app, figures.app, model.app]:
    for command in each.registered_commands:
        if command.cls is not search.QueryCommand:
            command.cls = options.BaseCommand
