"""The commands that make and calibrate checkpoints. Each imports what it needs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import JsonFileOption

__all__ = ["average", "calibrate", "input_check", "pretrain", "train"]

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the run.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
]
DataOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Prepared folder; overrides CONFIG.")
]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the run; overrides CONFIG.")
]


def train(
    config: ConfigArgument,
    settings: SettingsOption = None,
    data: DataOption = None,
    output: OutputOption = None,
) -> None:
    """Train a model on a prepared folder; an interrupted run is resumed."""
    _train(config, [_key_and_value(setting) for setting in settings or []], data, output)


def average(
    trained: Annotated[Path, typer.Argument(metavar="TRAINED", help="Checkpoint of a run.")],
    initial: Annotated[
        Path, typer.Argument(metavar="INITIAL", help="Checkpoint that the run started from.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="RUN", help="Checkpoint of another run from INITIAL."),
    ] = None,
    share: Annotated[
        float, typer.Option(help="Of the runs' mean; the rest is INITIAL's. Above 0, up to 1.")
    ] = 0.5,
) -> None:
    """Average the weights of runs with those that they started from, into a new checkpoint.

    Calibrate it afterwards.
    """
    from training.averaging import average as make

    runs = [trained, *(others or ())]
    sha256 = make(runs, initial, out, share)
    named = " and ".join(map(str, runs))
    typer.echo(f"{out}: {share:g} of {named}, the rest of {initial}; SHA-256 {sha256}")


def pretrain(
    config: ConfigArgument,
    settings: SettingsOption = None,
    data: DataOption = None,
    output: OutputOption = None,
) -> None:
    """Pretrain the image encoder alone, to predict findings from boxes or labels.

    Takes the settings of a training run, whose `initial` can then name the checkpoint written
    here. Images without boxes are supervised by what their reports assert, such as the reports
    that `prepare nih` makes from labels.
    """
    from training.config import ENCODER_ALONE

    overrides = [_key_and_value(setting) for setting in settings or []]
    _train(config, [*ENCODER_ALONE, *overrides], data, output)


def _train(config: Path, overrides: list[str], data: Path | None, output: Path | None) -> None:
    from training.train import run

    given = {"data": data, "output": output}
    # In quotes: an override is TOML, and a folder may be called 123.
    overrides += [f"{k}={json.dumps(str(v))}" for k, v in given.items() if v is not None]
    outcome = run(config, overrides)
    if not outcome.finished:
        typer.echo(f"Stopped at step {outcome.step}; the same command resumes.")
    if outcome.checkpoint.is_dir():
        typer.echo(f"Checkpoint in {outcome.checkpoint}")


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder; is changed.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]", help="Prepared folder to fit on. If omitted, nothing is fitted."
        ),
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Prepared folder to measure on, of studies not used for fitting."
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Prepared folder of labeled radiographs; may be repeated. The probability of a "
            "finding is fitted on the validate splits of those that label it; one that is too rare "
            "there or does not hold is not shown.",
        ),
    ] = None,
    fold: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL",
            help="With --labels: a checkpoint trained in the same way without one fold of the "
            "patients of every labeled folder that MODEL was trained on (`train --set fold=0/3`), "
            "one for each fold: train splits are fitted on too.",
        ),
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Calibrate a trained checkpoint on studies its weights were not trained on.

    Fits the temperature of word probabilities, the threshold of grounded words, the probability of
    findings, and the novelty threshold, and writes them into the checkpoint folder. With --labels
    also from which probability a report asserts a finding. --measure prints how well calibrated
    the probabilities are.
    """
    from training.calibration.command import run_calibration

    typer.echo(run_calibration(model, data, measure, json_file, labels or (), fold or ()))


def input_check(
    chests: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Frontal chest radiographs with labels.csv (image, patient); may be repeated.",
        ),
    ] = None,
    phantoms: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Prepared folder of phantoms with laterals.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images of anything else: its folder `fit` is for fitting, every other one for "
            "measuring.",
        ),
    ] = None,
    dicom: Annotated[
        Path | None, typer.Option(metavar="DIR", help="DICOM files of chests and of other parts.")
    ] = None,
    openi: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Open-i images with indiana_projections.csv."),
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="PHANTOMS",
            help="First refit the input check on these phantoms and on the images of --chests and "
            "--images that are not measured on.",
        ),
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure false rejections and misses of the input check.

    The table has rows for the folders that are named, and for drawn images.
    """
    from training.input_check.measure import Folders, run_input_check

    folders = Folders(tuple(chests or ()), phantoms, images, dicom, openi)
    typer.echo(run_input_check(folders, fit, json_file))


def _key_and_value(setting: str) -> str:
    key, equals, _ = setting.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
    return setting
