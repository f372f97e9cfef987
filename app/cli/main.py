"""The command `crossray`. Each command imports what it needs when it runs, so --help is quick."""

import sys
from collections.abc import Callable, Collection
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
from app.cli.importing import boxes, folder, iu_xray, kermany, labeled, mimic_cxr, nih, regions
from app.cli.phantom import prepare
from app.cli.reading import ask, check, report, serve
from app.cli.scoring import compare, label, rexrank, score
from app.cli.store import store
from app.cli.training import average, calibrate, input_check, pretrain, train
from model.errors import CrossRayError

__all__ = ["app", "main"]

EXIT_ERROR = 2

COMMANDS: dict[str, Callable[..., None]] = {
    "report": report,
    "ask": ask,
    "check": check,
    "batch": batch,
    "serve": serve,
    "import-checkpoint": import_checkpoint,
    "score": score,
    "compare": compare,
    "label": label,
    "rexrank": rexrank,
    "train": train,
    "pretrain": pretrain,
    "evaluate": evaluate,
    "robustness": robustness,
    "grounding": grounding,
    "average": average,
    "calibrate": calibrate,
    "batch-merge": batch_merge,
    "evaluate-check": evaluate_check,
    "experiment": experiment,
    "input-check": input_check,
    "lungs": lungs,
    "answers": answers,
    "anatomy": anatomy,
}
for importer in (iu_xray, mimic_cxr, nih, kermany, labeled, folder, boxes, regions):
    prepare.command()(importer)


def _print_version(wanted: bool) -> None:
    if wanted:
        from crossray import __version__

        typer.echo(f"crossray {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options before any command."""


def _built(named: Collection[str]) -> typer.Typer:
    """The command line, of some of COMMANDS: each takes milliseconds to be made ready."""
    built = typer.Typer(
        help="Draft reports for chest radiographs, with an attention map for every word.\n\n"
        "Research software, not for diagnosis.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    built.callback()(options)
    for name in named:
        built.command(name)(COMMANDS[name])
    if len(named) == len(COMMANDS):
        built.add_typer(prepare, name="prepare")
        built.add_typer(store, name="store")
    return built


app = _built(COMMANDS)


def main() -> None:
    """Run the command; an error raised on purpose is one line and exit status 2."""
    from app.logs import configure_logging

    configure_logging(as_json=False)
    try:
        first = sys.argv[1] if len(sys.argv) > 1 else ""
        (_built([first]) if first in COMMANDS else app)()
    except CrossRayError as error:
        typer.echo(f"crossray: error: {error}", err=True)
        sys.exit(EXIT_ERROR)
