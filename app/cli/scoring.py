"""The commands for files of reports: score, compare and label them, or write ReXrank's."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import (
    EXIT_BAD_FILES,
    ChexbertOption,
    DeviceOption,
    JsonFileOption,
    ModelOption,
    ProtocolOption,
    RadgraphOption,
)

__all__ = ["compare", "label", "rexrank", "score"]

ReferencesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="REFERENCES",
        help="Prepared folder, R2Gen's annotation.json, ReXrank's JSON, or a file as PREDICTIONS.",
    ),
]
SplitOption = Annotated[
    str, typer.Option(help="Split of a prepared folder or annotation.json: test, validate or all.")
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
    json_file: JsonFileOption = None,
) -> None:
    """Score a file of generated reports: text and finding scores with baselines and 95 % intervals.

    The reports may be of any system. A score that cannot be computed is named, never zero.
    """
    from training.report_scores.score import ScoreOptions, run_score

    options = ScoreOptions(protocol, split, chexbert, radgraph)
    typer.echo(run_score(predictions, references, options, json_file))


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Generated reports, as for score.")],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Another system's, of the same studies.")
    ],
    references: ReferencesArgument,
    protocol: ProtocolOption = "r2gen",
    split: SplitOption = "test",
    chexbert: ChexbertOption = None,
    radgraph: RadgraphOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Compare two systems' reports: paired differences of every score, with intervals and p."""
    from training.report_scores.score import ScoreOptions, run_compare

    options = ScoreOptions(protocol, split, chexbert, radgraph)
    typer.echo(run_compare(first, second, references, options, json_file))


def label(
    reports: Annotated[
        Path, typer.Argument(metavar="REPORTS", help="Reports by study, as for score.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="CSV", help="Write the labels of each study to this file."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Labels by readers: a file as --out writes, or Open-i's indiana_reports.csv.",
        ),
    ] = None,
) -> None:
    """Label reports with CheXpert's 14 observations; with --truth, measure the labeler."""
    from training.report_scores.label import run_label

    typer.echo(run_label(reports, out, truth))


def rexrank(
    cases: Annotated[Path, typer.Argument(metavar="INPUT", help="ReXrank's JSON of cases.")],
    out: Annotated[Path, typer.Argument(metavar="OUTPUT", help="JSON to write.")],
    images: Annotated[
        Path,
        typer.Argument(metavar="IMAGES", help="Folder that the paths in INPUT are relative to."),
    ],
    model: ModelOption = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Cases per batch.")] = 8,
    device: DeviceOption = "cpu",
) -> None:
    """Write a report for every case of ReXrank's input file, as ReXrank's output file.

    Views that the model does not read are left out. A second run does only what is missing. Cases
    without a report are listed, and the exit status is then 3.
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
