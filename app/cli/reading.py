"""The commands that read images: report, ask, check and serve. Each imports what it needs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.options import (
    DeviceOption,
    EngineOption,
    IdentityCheckOption,
    InputCheckOption,
    ModelOption,
    PrecisionOption,
    StoreOption,
    ThreadsOption,
)
from model.errors import CrossRayError

__all__ = ["ask", "check", "report", "serve"]

FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Images of one study: DICOM, PNG or JPEG."),
]
LateralOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--lateral",
        metavar="FILE",
        help="A lateral image whose file does not state the view (PNG, JPEG); may be repeated. For "
        "models that read lateral views.",
    ),
]
PriorOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--prior",
        metavar="FILE",
        help="A frontal image of an earlier study of the same patient; may be repeated. For models "
        "that read priors.",
    ),
]
IndicationOption = Annotated[
    str,
    typer.Option(
        "--indication",
        metavar="TEXT",
        help="Why the images were taken. For models that read indications.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the answer of the REST API instead of text.")
]
MapsOption = Annotated[
    Literal["grounded", "all"],
    typer.Option(
        "--maps", help="With --json: heatmaps of what has a place on the images, or of all."
    ),
]


def report(
    files: FilesArgument,
    laterals: LateralOption = None,
    priors: PriorOption = None,
    indication: IndicationOption = "",
    as_json: JsonOption = False,
    maps: MapsOption = "grounded",
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write an overlay PNG for every grounded word to this folder, and "
            "000_report.png for the sentences.",
        ),
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "f32",
    no_input_check: InputCheckOption = False,
    no_identity_check: IdentityCheckOption = False,
    threads: ThreadsOption = None,
    beams: Annotated[
        int, typer.Option(min=1, max=16, help="Beams of the beam search; 1: greedy.")
    ] = 1,
) -> None:
    """Write a draft report for one study.

    All FILEs are images of one study and give one report. Views that the model was not trained on,
    images that are no chest radiograph, and files of different patients are refused. What to check
    first comes before the report; words that the image made more likely are marked, and the least
    certain words are listed.
    """
    from app.cli.exam_files import ExamFiles

    if heatmaps is not None:
        _refuse_earlier_overlays(heatmaps)
    given = ExamFiles(files, laterals, priors, indication)
    given.prepare()
    from app.cli.loading import start_loading

    loading = start_loading(model, engine, device, threads, precision)
    from app.cli.exams import generator_of, read_exam
    from model.decoding import GREEDY, DecodingOptions
    from model.exam import enough_pixels

    generator = generator_of(loading)
    exam = read_exam(given, None if heatmaps else enough_pixels(generator.model))
    options = DecodingOptions(strategy="beam", beams=beams) if beams > 1 else GREEDY
    written = generator(exam, options, not no_input_check, not no_identity_check)
    if heatmaps is not None:
        from app.api.answers import png
        from app.overlays import sheet, word_overlays

        images = [("000_report.png", png(sheet(written, exam.shown)))]
        images += word_overlays(written, exam.shown)
        _write_files(heatmaps, images)
        typer.echo(f"{len(images)} overlays written to {heatmaps}", err=True)
    if as_json:
        from app.api.answers import answer

        typer.echo(answer(written, generator.notice, maps=maps).model_dump_json())
    else:
        from app.cli.output import report_text

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
    maps: MapsOption = "grounded",
    model: ModelOption = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "f32",
    no_input_check: InputCheckOption = False,
    no_identity_check: IdentityCheckOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Ask whether a finding is present on the images of one study.

    Prints its probability, the evidence of the images for it, and whether it has a place on them.
    """
    from app.cli.exam_files import ExamFiles

    given = ExamFiles(files, laterals, priors, indication)
    given.prepare()
    from app.cli.loading import start_loading

    loading = start_loading(model, engine, device, threads, precision)
    from app.cli.exams import generator_of, read_exam
    from model.exam import enough_pixels

    generator = generator_of(loading)
    exam = read_exam(given, enough_pixels(generator.model))
    found = generator.ask(exam, phrase, not no_input_check, not no_identity_check)
    if as_json:
        from app.api.answers import ask_answer

        typer.echo(ask_answer(found, generator.notice, maps=maps).model_dump_json())
    else:
        from app.cli.output import asked_text

        typer.echo(asked_text(found, generator.notice))


def check(
    files: FilesArgument,
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="Text file with somebody's report of them.")
    ],
    laterals: LateralOption = None,
    priors: PriorOption = None,
    indication: IndicationOption = "",
    as_json: JsonOption = False,
    model: ModelOption = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "f32",
    no_input_check: InputCheckOption = False,
    no_identity_check: IdentityCheckOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Check somebody's report against the images of one study.

    Lists what the images contradict (a side, a zone, a severity, a finding that is denied and seen,
    or asserted and not seen), comparisons with an image that was not given, and what is seen and
    not mentioned, each with its probability and a suggestion.
    """
    from app.cli.exam_files import ExamFiles

    text = _text(report)
    given = ExamFiles(files, laterals, priors, indication)
    given.prepare()
    from app.cli.loading import start_loading

    loading = start_loading(model, engine, device, threads, precision)
    from app.cli.exams import generator_of, read_exam
    from model.exam import enough_pixels

    generator = generator_of(loading)
    exam = read_exam(given, enough_pixels(generator.model))
    found = generator.check(exam, text, not no_input_check, not no_identity_check)
    if as_json:
        from app.api.answers import check_answer

        typer.echo(check_answer(found, generator.notice).model_dump_json())
    else:
        from app.cli.output import check_text

        typer.echo(check_text(found, generator.notice))


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port.  [default: 8000]")
    ] = None,
    model: ModelOption = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="auto|torch|openvino", help="What computes, as for report.  [default: auto]"
        ),
    ] = None,
    threads: ThreadsOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=256,
            help="Processes that hold the model; 0: the service's own.  [default: 0]",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Serve the page and the REST API until interrupted.

    Everything else is set by CROSSRAY_ environment variables, listed in
    docs/reference/rest-api.md. There is no TLS, and nobody signs in unless CROSSRAY_ACCOUNTS says
    how: before listening on any other address than 127.0.0.1, put a proxy with TLS in front.
    """
    from app.logs import configure_logging
    from app.settings import load_settings

    def announce(address: str) -> None:
        typer.echo(f"CrossRay's page is at {address}, its API at {address}docs", err=True)

    configure_logging()
    settings = load_settings(
        host=host,
        port=port,
        model=model,
        engine=engine,
        threads=threads,
        workers=workers,
        store=store,
    )
    from app.server import serve as run_server

    run_server(settings, announce)


def _refuse_earlier_overlays(folder: Path) -> None:
    """Overlays of two reports in one folder would have the same names."""
    if any(folder.glob("[0-9][0-9][0-9]_*.png")):
        raise CrossRayError(
            f"the folder {str(folder)!r} holds overlays of an earlier report: name another"
        )


def _text(path: Path) -> str:
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a text file with the report")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CrossRayError(f"{str(path)!r} is no text in UTF-8: save it as such") from error


def _write_files(folder: Path, files: list[tuple[str, bytes]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / name).write_bytes(content)
    except OSError as error:
        raise CrossRayError(
            f"cannot write to the folder {str(folder)!r} ({error.strerror}): name another"
        ) from error
