"""The command `crossray`. Each command imports what it needs when it runs, so --help is quick."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.checkpoints import import_checkpoint
from app.cli.importing import boxes, folder, iu_xray, mimic_cxr, nih
from app.cli.phantom import prepare
from app.cli.reading import ModelOption, ask, batch, report, serve
from app.cli.scoring import ChexbertOption, RadgraphOption, compare, label, rexrank, score
from model.errors import CrossRayError

__all__ = ["app", "main"]

EXIT_ERROR = 2

app = typer.Typer(
    help="Draft reports for chest radiographs, and for every word where the decoder looked.\n\n"
    "Research software, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(prepare, name="prepare")
for importer in (iu_xray, mimic_cxr, nih, folder, boxes):
    prepare.command()(importer)
for command in (report, ask, batch, serve, import_checkpoint, score, compare, label, rexrank):
    app.command()(command)


ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file of the run.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
]
DataOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Prepared folder, instead of CONFIG's.")
]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the run, instead of CONFIG's.")
]


@app.command()
def train(
    config: ConfigArgument,
    settings: SettingsOption = None,
    data: DataOption = None,
    output: OutputOption = None,
) -> None:
    """Train a model on a prepared folder. A run that was interrupted goes on where it stopped."""
    _train(config, [_key_and_value(setting) for setting in settings or []], data, output)


@app.command()
def pretrain(
    config: ConfigArgument,
    settings: SettingsOption = None,
    data: DataOption = None,
    output: OutputOption = None,
) -> None:
    """Teach a model's encoder alone: which findings an image has, from boxes or labels.

    Takes the settings of a training, whose `initial` can then be the checkpoint this writes. What
    has no boxes is learnt from what the reports assert, such as those that `prepare nih` makes of
    labels.
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
            help="Prepared folder whose train split gives the baselines; DATA if not given.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Studies to evaluate; all if not.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    views: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help='Give only these of the views the model reads: "frontal,lateral". What is there '
            "to be found stays the same, so two runs tell what a view adds.",
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="How texts are normalized: r2gen, rexrank or raw.")
    ] = "r2gen",
    split: Annotated[
        str | None,
        typer.Option(
            help="test, validate, train or all. If not given: test of data the model was trained "
            "on, all of any other."
        ),
    ] = None,
    demographics: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Of labeled studies: image, age and sex, for the baseline that sees no image.",
        ),
    ] = None,
    compare_with: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL", help="Of labeled studies: another checkpoint beside it."),
    ] = None,
    chexbert: ChexbertOption = None,
    radgraph: RadgraphOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the reports here, as JSON in ReXrank's names, for score."
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a model card with images into this folder."),
    ] = None,
) -> None:
    """Measure a model on a prepared folder, with 95 % intervals and baselines beside it."""
    from training.evaluation.evaluate import Outputs, run_evaluation

    asked = None if views is None else [name.strip() for name in views.split(",")]
    outputs = Outputs(json_file, predictions, card)
    table = run_evaluation(
        model,
        data,
        outputs,
        train_data,
        limit,
        device,
        asked,
        protocol,
        chexbert,
        radgraph,
        split,
        demographics,
        compare_with or (),
    )
    typer.echo(table)


@app.command()
def robustness(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared folder with boxes.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves into this PNG.")
    ] = None,
    studies: Annotated[
        int, typer.Option(min=2, help="The first so many; each is read 26 times.")
    ] = (100),
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Tell where reports and maps break under noise, blur, lost contrast, rotation, occlusion."""
    from training.evaluation.robustness import run_robustness

    typer.echo(run_robustness(model, data, studies, json_file, image, device))


@app.command()
def grounding(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder.")],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Prepared folder; with --boxes a folder of images."),
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Box file of NIH ChestX-ray14, MS-CXR, VinDr-CXR or PadChest-GR, as downloaded.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Studies, or phrases of --boxes; all if not.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help='Only these ways to make maps: "late layers,contrast,uniform".'
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write sheets of good and bad cases here."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Measure whether words point where they should, for every way to make a map.

    Maps are held against boxes and parts of images are covered, with 95 % intervals; a uniform
    map, the middle of the image, Grad-CAM and occlusion stand beside.
    """
    from training.grounding.command import run_grounding
    from training.grounding.methods import METHODS

    asked = METHODS if methods is None else tuple(name.strip() for name in methods.split(","))
    typer.echo(run_grounding(model, data, json_file, boxes, limit, asked, images, device))


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder; changed.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]", help="Prepared folder to fit on. Without it nothing is fitted."
        ),
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Prepared folder to measure on, of studies that were not fitted on."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Prepared folder of labeled radiographs: the probabilities of findings are fitted "
            "on its validate split, and of findings that are too rare there none is given.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
) -> None:
    """Fit what a trained checkpoint tells, on studies its weights were not trained on.

    Fits the temperature of its probabilities, which words count as grounded, the chance that a
    finding asked for is there, and which images are familiar, and writes them into the checkpoint
    folder. No word of any report changes. --measure prints how well the probabilities hold.
    """
    from training.calibration.command import run_calibration

    typer.echo(run_calibration(model, data, measure, json_file, labels))


@app.command("input-check")
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
            help="Images of anything else: its folder `fit` is fitted with, each other one is "
            "measured on.",
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
            help="First fit the input check anew, with these phantoms and what of "
            "--chests and --images is not measured on.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
) -> None:
    """Measure how often the input check before a report alarms falsely and how often it misses.

    The table has rows for the folders that are named, and for drawn images.
    """
    from training.input_check.measure import Folders, run_input_check

    folders = Folders(tuple(chests or ()), phantoms, images, dicom, openi)
    typer.echo(run_input_check(folders, fit, json_file))


@app.command()
def lungs(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images.")],
    model: ModelOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the first maps and lungs here.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here too.")
    ] = None,
) -> None:
    """Tell how much of the maps lies in the lungs, on images without truth."""
    from training.grounding.lungs import run_lungs

    typer.echo(run_lungs(model, images, limit, sheet, json_file))


def main() -> None:
    """Run the command; an error raised on purpose is one line and exit status 2."""
    from app.logs import configure_logging

    configure_logging(as_json=False)
    try:
        app()
    except CrossRayError as error:
        typer.echo(f"crossray: error: {error}", err=True)
        sys.exit(EXIT_ERROR)


def _key_and_value(setting: str) -> str:
    key, equals, _ = setting.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
    return setting
