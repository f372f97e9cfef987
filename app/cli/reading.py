"""The commands that read images: report, ask, batch and serve. Each imports what it needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import CrossRayError

if TYPE_CHECKING:
    from model.exam import Exam
    from model.imaging.radiograph import Radiograph

__all__ = ["ModelOption", "ask", "batch", "report", "serve"]

EXIT_BAD_FILES = 3

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="DIR",
        help="Checkpoint: a folder, CrossRay's or Hugging Face's, or hf:owner/name[@revision]; the "
        "embedded one if not given.",
    ),
]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="DICOM, PNG or JPEG; images of one study."),
]
LateralOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--lateral",
        metavar="FILE",
        help="An image of the study that is a lateral view and does not say so, as PNG and JPEG "
        "cannot; may be repeated. For a model that reads lateral views.",
    ),
]
PriorOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--prior",
        metavar="FILE",
        help="A frontal image of an earlier study of the same patient; may be repeated. For a "
        "model that reads those.",
    ),
]
IndicationOption = Annotated[
    str,
    typer.Option(
        "--indication",
        metavar="TEXT",
        help="Why the images were taken. For a model that reads indications.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's answer instead of text.")]
InputCheckOption = Annotated[
    bool,
    typer.Option(
        "--no-input-check",
        help="Go on with images that the input check refuses; its reasons are told as warnings.",
    ),
]


def report(
    files: FilesArgument,
    laterals: LateralOption = None,
    priors: PriorOption = None,
    indication: IndicationOption = "",
    as_json: JsonOption = False,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write an overlay PNG for every word that has a place on the image here, and "
            "000_report.png for the sentences.",
        ),
    ] = None,
    model: ModelOption = None,
    no_input_check: InputCheckOption = False,
    beams: Annotated[
        int, typer.Option(min=1, max=16, help="Beams to search with; 1 takes each likeliest token.")
    ] = 1,
) -> None:
    """Write a draft report for one study.

    Several FILEs are images of the same study and give one report. A view that the model was not
    trained to read is refused, and so is what is no chest radiograph. Words that the image made
    likelier bear marks, what a reader should check comes first, and the least sure words are
    listed.
    """
    from app.api.answers import answer
    from app.cli.output import report_text
    from app.overlays import sheet, word_overlays
    from model.decoding import GREEDY, DecodingOptions
    from model.generator import ReportGenerator

    if heatmaps is not None:
        _refuse_earlier_overlays(heatmaps)
    exam = _exam(files, laterals, priors, indication)
    generator = ReportGenerator.load(model)
    options = DecodingOptions(strategy="beam", beams=beams) if beams > 1 else GREEDY
    [written] = generator.reports([exam], options, input_check=not no_input_check)
    if heatmaps is not None:
        images = [("000_report.png", sheet(written, exam.shown))]
        images += word_overlays(written, exam.shown)
        _write_files(heatmaps, images)
        typer.echo(f"{len(images)} overlays written to {heatmaps}", err=True)
    if as_json:
        typer.echo(answer(written, generator.notice).model_dump_json())
    else:
        typer.echo(report_text(written, generator.notice))


def ask(
    files: FilesArgument,
    phrase: Annotated[
        str, typer.Argument(metavar="PHRASE", help='A finding, such as "is there a fracture?".')
    ],
    laterals: LateralOption = None,
    priors: PriorOption = None,
    indication: IndicationOption = "",
    as_json: JsonOption = False,
    model: ModelOption = None,
    no_input_check: InputCheckOption = False,
) -> None:
    """Ask the images of one study for a finding that its report need not name.

    Tells how probable it is, how much the image speaks for it, and whether it has a place there.
    """
    from app.api.answers import asked
    from app.cli.output import asked_text
    from model.generator import ReportGenerator

    exam = _exam(files, laterals, priors, indication)
    generator = ReportGenerator.load(model)
    found = generator.ask(exam, phrase, input_check=not no_input_check)
    if as_json:
        typer.echo(asked(found, generator.notice).model_dump_json())
    else:
        typer.echo(asked_text(found, generator.notice))


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
    no_input_check: InputCheckOption = False,
    indications: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file with the columns study (StudyInstanceUID, or the path of a file or "
            "folder below IN) and indication. For a model that reads indications.",
        ),
    ] = None,
) -> None:
    """Report on every study below a folder.

    DICOM files are grouped by study, whatever they are called; a PNG or JPEG is a study of its own.
    OUT gets summary.csv and, for each study, report.json and heatmaps.png. What is no radiograph of
    a view that the model reads is skipped, with the reason. A file that should be an image and
    cannot be read, or that the input check refuses, is listed at the end, and the exit status is
    then 3. Run again, it does only what is missing.
    """
    from app.batch.run import run_batch
    from app.cli.output import batch_text
    from model.generator import ReportGenerator

    outcome = run_batch(
        ReportGenerator.load(model),
        source,
        out,
        batch_size,
        redo,
        input_check=not no_input_check,
        indications=indications,
    )
    typer.echo(batch_text(outcome, out), err=True)
    if outcome.failed:
        raise typer.Exit(EXIT_BAD_FILES)


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

    Everything else is set by CROSSRAY_ environment variables, listed in
    docs/reference/rest-api.md. There is no log-in: before listening on any other address than
    127.0.0.1, put a proxy with one in front.
    """
    from app.logs import configure_logging
    from app.server import serve as run_server
    from app.settings import load_settings

    def announce(address: str) -> None:
        typer.echo(f"CrossRay's page is at {address}, its API at {address}docs", err=True)

    configure_logging()
    run_server(load_settings(host=host, port=port, model=model), announce)


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


def _exam(
    files: list[Path], laterals: list[Path] | None, priors: list[Path] | None, indication: str
) -> "Exam":
    from model.exam import Exam

    own = [_read(path) for path in files]
    own += [_read(path, "LATERAL") for path in laterals or []]
    return Exam(own, indication, [_read(path) for path in priors or []])


def _read(path: Path, stated: str = "") -> "Radiograph":
    from app.views import with_view
    from model.imaging.sandbox import read_image_isolated

    return with_view(read_image_isolated(_existing(path)), stated)


def _write_files(folder: Path, files: list[tuple[str, bytes]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)
    except OSError as error:
        raise CrossRayError(
            f"cannot write to the folder {str(folder)!r} ({error.strerror}): name another"
        ) from error
