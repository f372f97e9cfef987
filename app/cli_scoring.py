"""The commands that score files of reports: score, compare and label."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ChexbertOption", "RadgraphOption", "compare", "label", "score"]

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
    str, typer.Option(help="How texts are normalised: r2gen, rexrank or raw.")
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
    """Score a file of reports: words, findings, floors beside, 95 % intervals.

    Any system's reports, however they were made. What cannot be computed is said, never zero.
    """
    from training.score import run_score

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
    from training.score import run_compare

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
    from training.labelling import run_label

    typer.echo(run_label(reports, out, truth))
