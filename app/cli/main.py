"""The command `crossray`. Each command imports what it needs when it runs, so --help is quick."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from app.cli.batch import batch, batch_merge
from app.cli.checkpoints import import_checkpoint
from app.cli.evaluation import (
    anatomy,
    answers,
    evaluate,
    evaluate_check,
    experiment,
    grounding,
    lungs,
    robustness,
)
from app.cli.importing import boxes, folder, iu_xray, mimic_cxr, nih
from app.cli.phantom import prepare
from app.cli.reading import ask, check, report, serve
from app.cli.scoring import compare, label, rexrank, score
from app.cli.store import store
from app.cli.training import calibrate, input_check, pretrain, train
from crossray import __version__
from model.errors import CrossRayError

__all__ = ["app", "main"]

EXIT_ERROR = 2

app = typer.Typer(
    help="Draft reports for chest radiographs, with an attention map for every word.\n\n"
    "Research software, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(prepare, name="prepare")
app.add_typer(store, name="store")
for importer in (iu_xray, mimic_cxr, nih, folder, boxes):
    prepare.command()(importer)
COMMANDS: tuple[Callable[..., None], ...] = (
    *(report, ask, check, batch, serve, import_checkpoint),
    *(score, compare, label, rexrank),
    *(train, pretrain, evaluate, robustness, grounding, calibrate),
)
for command in COMMANDS:
    app.command()(command)
app.command("batch-merge")(batch_merge)
app.command("evaluate-check")(evaluate_check)
app.command()(experiment)
app.command("input-check")(input_check)
app.command()(lungs)
app.command()(answers)
app.command()(anatomy)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossray {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    """Run the command; an error raised on purpose is one line and exit status 2."""
    from app.logs import configure_logging

    configure_logging(as_json=False)
    try:
        app()
    except CrossRayError as error:
        typer.echo(f"crossray: error: {error}", err=True)
        sys.exit(EXIT_ERROR)
