"""The commands for files of reports: score, compare and label them, or write ReXrank's."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.reading import EXIT_BAD_FILES, ModelOption

__all__ = ["ChexbertOption", "RadgraphOption", "compare", "label", "rexrank", "score"]

JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
]
ReferencesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="REFERENCES",
        help="Prepared folder, R2Gen's annotation.json, ReXrank's JSON, or a file as PREDICTIONS.",
    ),
]
ProtocolOption = Annotated[
    str, typer.Option(help="How texts are normalized: r2gen, rexrank or raw.")
]
SplitOption = Annotated[
    str, typer.Option(help="Of a prepared folder or annotation.json: test, validate or all.")
]

ChexbertOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with CheXbert's weights: its F1 is computed too."),
]
RadgraphOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with RadGraph's weights: its F1 is computed too."),
]


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Generated reports by study: .csv, .json or .jsonl, or ReXrank's JSON.",
        ),
    ],
    references: ReferencesArgument,
    protocol: ProtocolOption = "r2gen",
    split: SplitOption = "test",
    chexbert: ChexbertOption = None,
    radgraph: RadgraphOption = None,
    json_file: JsonOption = None,
) -> None:
    """Score a file of reports: words, findings, baselines beside, 95 % intervals.

    Any system's reports, however they were made. What cannot be computed is said, never zero.
    """
    from training.report_scores.score import run_score

    table = run_score(predictions, references, protocol, split, json_file, chexbert, radgraph)
    typer.echo(table)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Generated reports, as for score.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another system's, same studies.")],
    references: ReferencesArgument,
    protocol: ProtocolOption = "r2gen",
    split: SplitOption = "test",
    chexbert: ChexbertOption = None,
    radgraph: RadgraphOption = None,
    json_file: JsonOption = None,
) -> None:
    """Tell whether B differs from A: score by score, study by study, with intervals and p."""
    from training.report_scores.score import run_compare

    table = run_compare(first, second, references, protocol, split, json_file, chexbert, radgraph)
    typer.echo(table)


def label(
    reports: Annotated[
        Path, typer.Argument(metavar="REPORTS", help="Reports by study, as for score.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="CSV", help="Write the labels of each study here."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Labels by people: a file as --out writes, or Open-i's indiana_reports.csv.",
        ),
    ] = None,
) -> None:
    """Read CheXpert's 14 observations in reports; with --truth, measure how well they are read."""
    from training.report_scores.label import run_label

    typer.echo(run_label(reports, out, truth))


def rexrank(
    cases: Annotated[Path, typer.Argument(metavar="INPUT", help="ReXrank's JSON of cases.")],
    out: Annotated[Path, typer.Argument(metavar="OUTPUT", help="JSON to write.")],
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder that the paths in INPUT begin in.")
    ],
    model: ModelOption = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Cases read at once.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Write a report for every case of ReXrank's input file, in its output file's form.

    Views that the model does not read are left out. Run again, it does only the cases that are
    missing. A case without a report is listed, and the exit status is then 3.
    """
    from model.generator import ReportGenerator
    from training.report_scores.rexrank import run_rexrank

    outcome = run_rexrank(
        ReportGenerator.load(model, device=device), cases, out, images, batch_size
    )
    typer.echo(f"{outcome.done} reports written to {out}, {outcome.kept} kept", err=True)
    if outcome.shortened:
        typer.echo(f"{outcome.shortened} indications were cut to what the model reads", err=True)
    for name, reason in outcome.failed.items():
        typer.echo(f"{name}: {reason}", err=True)
    if outcome.failed:
        raise typer.Exit(EXIT_BAD_FILES)
