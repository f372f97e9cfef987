"""The command `crossray`. Each command imports what it needs when it runs, so --help is quick."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import CrossRayError

if TYPE_CHECKING:
    from app.batch import Outcome
    from model.report import Report

__all__ = ["app", "main"]

EXIT_ERROR = 2
EXIT_BAD_FILES = 3
SKIPPED_SHOWN = 20
UNSURE = 0.5

app = typer.Typer(
    help="Draft reports for chest radiographs, and for every word where the decoder looked.\n\n"
    "Research software, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
prepare = typer.Typer(
    help="Make a prepared folder, which training and evaluation read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(prepare, name="prepare")

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", help="Checkpoint folder; the embedded one if not given."
    ),
]


@app.command()
def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="DICOM, PNG or JPEG; frontal pictures of one study."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the API's answer instead of text.")
    ] = False,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write an overlay PNG for every word here, and 000_report.png for the sentences.",
        ),
    ] = None,
    model: ModelOption = None,
    beams: Annotated[
        int, typer.Option(min=1, max=16, help="Beams to search with; 1 takes each likeliest token.")
    ] = 1,
) -> None:
    """Write a draft report for one study.

    Several FILEs are pictures of the same study and give one report. The model reads frontal
    views: a lateral one is refused. For each word the model's probability is known; the least sure
    are listed.
    """
    from app.views import frontal
    from app.writers import answer, sheet, word_overlays
    from model.decoding import GREEDY, DecodingOptions
    from model.isolation import read_image_isolated
    from model.report import ReportGenerator

    if heatmaps is not None:
        _refuse_earlier_overlays(heatmaps)
    radiographs = [frontal(read_image_isolated(_existing(path))) for path in files]
    generator = ReportGenerator.load(model)
    options = DecodingOptions(strategy="beam", beams=beams) if beams > 1 else GREEDY
    written = generator(radiographs, options)
    if heatmaps is not None:
        pictures = [("000_report.png", sheet(written, radiographs))]
        pictures += word_overlays(written, radiographs)
        _write_files(heatmaps, pictures)
        typer.echo(f"{len(pictures)} overlays written to {heatmaps}", err=True)
    if as_json:
        typer.echo(answer(written, generator.notice).model_dump_json())
    else:
        typer.echo(_plain(written, generator.notice))


@app.command()
def batch(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Folder; every file below it is looked at.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results.")
    ],
    model: ModelOption = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Studies read at once.")] = 4,
    redo: Annotated[
        bool, typer.Option("--redo", help="Do again what is there, or what another model wrote.")
    ] = False,
) -> None:
    """Report on every study below a folder.

    DICOM files are grouped by study, whatever they are called; a PNG or JPEG is a study of its own.
    OUT gets summary.csv and, for each study, report.json and heatmaps.png. What is no frontal
    radiograph is skipped, with the reason. A file that should be an image and cannot be read is
    listed at the end, and the exit status is then 3. Run again, it does only what is missing.
    """
    from app.batch import run_batch
    from model.report import ReportGenerator

    outcome = run_batch(ReportGenerator.load(model), source, out, batch_size, redo)
    _tell(outcome, out)
    if outcome.failed:
        raise typer.Exit(EXIT_BAD_FILES)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port.  [default: 8000]")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Serve the page and the API until interrupted.

    Everything else is set by CROSSRAY_ environment variables, which docs/api.md lists. There is no
    log-in: before listening on any other address than 127.0.0.1, put a proxy with one in front.
    """
    from app.logs import configure_logging
    from app.server import serve as run_server
    from app.settings import load_settings

    def announce(address: str) -> None:
        typer.echo(f"CrossRay's page is at {address}, its API at {address}docs", err=True)

    configure_logging()
    run_server(load_settings(host=host, port=port, model=model), announce)


@prepare.command("phantom")
def prepare_phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    studies: Annotated[int, typer.Option(min=1, help="How many studies.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same studies.")],
    size: Annotated[
        int, typer.Option(min=64, max=2048, help="Longest side of a picture in pixels.")
    ] = 256,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Write the pictures as DX DICOM files too.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per processor if not given.")
    ] = None,
) -> None:
    """Make simulated chest radiographs with exact truth, and their reports."""
    from data_prep.prepare import prepare_phantom as make

    digest = make(out, studies=studies, seed=seed, size=size, dicom=dicom, workers=workers)
    typer.echo(f"{studies} studies in {out}, SHA-256 of the manifest {digest}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Prepared folder, instead of CONFIG's.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run, instead of CONFIG's.")
    ] = None,
) -> None:
    """Train a model on a prepared folder. A run that was interrupted goes on where it stopped."""
    from training.train import run

    overrides = [_key_and_value(setting) for setting in settings or []]
    given = {"data": data, "output": output}
    # In quotes: an override is TOML, and a folder may be called 123.
    overrides += [f"{k}={json.dumps(str(v))}" for k, v in given.items() if v is not None]
    outcome = run(config, overrides)
    if not outcome.finished:
        typer.echo(f"Stopped at step {outcome.step}; the same command goes on.")
    if outcome.checkpoint.is_dir():
        typer.echo(f"Checkpoint in {outcome.checkpoint}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared folder.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
    train_data: Annotated[
        Path | None,
        typer.Option(
            "--train",
            metavar="DIR",
            help="Prepared folder whose train split the floors are taken from; DATA if not given.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Studies to evaluate; all if not.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Measure a model on a prepared folder, with 95 % intervals and two floors beside it."""
    from training.evaluate import run_evaluation

    typer.echo(run_evaluation(model, data, json_file, train_data, limit, device))


def main() -> None:
    """Run the command; an error raised on purpose is one line and exit status 2."""
    from app.logs import configure_logging

    configure_logging(as_json=False)
    try:
        app()
    except CrossRayError as error:
        typer.echo(f"crossray: error: {error}", err=True)
        sys.exit(EXIT_ERROR)


def _refuse_earlier_overlays(folder: Path) -> None:
    """Overlays of two reports in one folder could not be told apart."""
    if any(folder.glob("[0-9][0-9][0-9]_*.png")):
        raise CrossRayError(
            f"the folder {str(folder)!r} holds overlays of an earlier report: name another"
        )


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise CrossRayError(f"{str(path)!r} is a folder: `crossray batch` reads folders")
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a DICOM, PNG or JPEG file")
    return path


def _key_and_value(setting: str) -> str:
    key, equals, _ = setting.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
    return setting


def _write_files(folder: Path, files: list[tuple[str, bytes]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)
    except OSError as error:
        raise CrossRayError(
            f"cannot write to the folder {str(folder)!r} ({error.strerror}): name another"
        ) from error


def _plain(report: "Report", notice: str) -> str:
    """A report for the terminal."""
    lines = []
    for section in report.sections:
        lines += [section.name.capitalize(), *_wrapped(section.text), ""]
    if not report.sections:
        lines += [*_wrapped(report.text), ""]
    unsure = sorted(
        (w for w in report.words if w.probability < UNSURE), key=lambda w: w.probability
    )
    if unsure:
        told = ", ".join(f"{word.text} {word.probability:.2f}" for word in unsure[:8])
        lines += ["Least sure words, with the model's probability", *_wrapped(told), ""]
    lines += [*_wrapped(notice, ""), f"Model {report.model.name} {report.model.sha256[:12]}"]
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    from textwrap import wrap

    return wrap(text, 88, initial_indent=indent, subsequent_indent=indent)


def _tell(outcome: "Outcome", out: Path) -> None:
    """What a batch came to, on standard error."""
    skipped = [file for file in outcome.unread if file.status == "skipped"]
    failed = [file for file in outcome.unread if file.status == "failed"]
    lines = [f"skipped  {file.name}: {file.reason}" for file in skipped[:SKIPPED_SHOWN]]
    if len(skipped) > SKIPPED_SHOWN:
        lines.append(f"skipped  {len(skipped) - SKIPPED_SHOWN} more files, see summary.csv")
    lines += [f"FAILED   {file.name}: {file.reason}" for file in failed]
    lines.append(
        f"{outcome.done} studies reported, {outcome.kept} were there already, "
        f"{len(skipped)} files skipped, {len(failed)} failed: {out / 'summary.csv'}"
    )
    typer.echo("\n".join(lines), err=True)
