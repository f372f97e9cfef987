"""The commands that measure a checkpoint. Each imports what it needs."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import (
    ChexbertOption,
    DeviceOption,
    JsonFileOption,
    ModelArgument,
    ModelOption,
    ProtocolOption,
    RadgraphOption,
)

__all__ = [
    "anatomy",
    "answers",
    "evaluate",
    "evaluate_check",
    "experiment",
    "grounding",
    "lungs",
    "robustness",
]


def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared folder.")],
    json_file: JsonFileOption = None,
    train_data: Annotated[
        Path | None,
        typer.Option(
            "--train",
            metavar="DIR",
            help="Prepared folder whose train split gives the baselines; DATA if omitted.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Studies to evaluate; all if omitted.")
    ] = None,
    device: DeviceOption = "cpu",
    views: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help='Use only these of the views the model reads: "frontal,lateral". The findings to '
            "be reported stay the same, so two runs measure what a view adds.",
        ),
    ] = None,
    protocol: ProtocolOption = "r2gen",
    split: Annotated[
        str | None,
        typer.Option(
            help="test, validate, train or all; fold: the patients that the model's training "
            "left out (setting `fold`). If omitted: test for data the model was trained on, all "
            "for any other."
        ),
    ] = None,
    demographics: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="For labeled studies: image, age and sex, for the baseline that sees no image.",
        ),
    ] = None,
    compare_with: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL", help="For labeled studies: a checkpoint to compare with."),
    ] = None,
    chexbert: ChexbertOption = None,
    radgraph: RadgraphOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the reports to this file, in ReXrank's JSON, for `score`.",
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a model card with figures to this folder."),
    ] = None,
) -> None:
    """Evaluate a model on a prepared folder, with baselines and 95 % intervals."""
    from training.evaluation.evaluate import EvaluationOptions, Outputs, run_evaluation
    from training.report_scores.learned_scores import LearnedMetrics

    names = None if views is None else [name.strip() for name in views.split(",")]
    options = EvaluationOptions(
        split=split,
        train=train_data,
        limit=limit,
        views=names,
        protocol=protocol,
        demographics=demographics,
        compare_with=compare_with or (),
    )
    learned_metrics = LearnedMetrics.load(chexbert, radgraph)
    outputs = Outputs(json_file, predictions, card)
    typer.echo(run_evaluation(model, data, outputs, options, learned_metrics, device))


def evaluate_check(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Prepared phantoms, or composed radiographs, to measure on."
        ),
    ],
    fit: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Prepared phantoms of another seed, to fit probabilities and thresholds on.",
        ),
    ],
    save: Annotated[
        bool, typer.Option("--save", help="Write what was fitted into the checkpoint.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Studies of each folder; all if omitted.")
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure how well `check` finds errors in reports, beside baselines, with 95 % intervals.

    Each report gets one error of each kind it can have: side, negation, insertion, deletion, zone,
    severity. Baselines: the decoder without the images, presence alone, always correct.
    """
    from training.report_check.command import CheckOptions, run_evaluate_check

    typer.echo(run_evaluate_check(model, data, fit, json_file, CheckOptions(limit, save)))


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="fusion, jitter, noise, highway, dominance, directions or heads.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Checkpoint folder, for noise and heads."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Prepared phantoms, for noise and heads."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write NAME.json and plots to this folder.")
    ] = None,
    studies: Annotated[int, typer.Option(min=2, help="Phantoms, or test images.")] = 100,
    steps: Annotated[int, typer.Option(min=1, help="Of each training on toy images.")] = 600,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 3,
) -> None:
    """Run an experiment on cross-attention.

    docs/explanation/cross-attention.md says what each asks and what it gave.
    """
    from training.experiments.command import run_experiment
    from training.experiments.results import Options

    typer.echo(run_experiment(name, Options(model, data, studies, steps, seeds), out))


def robustness(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared folder with boxes.")],
    json_file: JsonFileOption = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot the curves to this PNG.")
    ] = None,
    studies: Annotated[
        int, typer.Option(min=2, help="Maximum studies; each is read 26 times.")
    ] = 100,
    device: DeviceOption = "cpu",
) -> None:
    """Measure how reports and maps degrade with noise, blur, low contrast, rotation, occlusion."""
    from training.evaluation.robustness import run_robustness

    typer.echo(run_robustness(model, data, studies, json_file, image, device))


def grounding(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Prepared folder; with --boxes a folder of images."),
    ],
    json_file: JsonFileOption = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Box file of NIH ChestX-ray14, MS-CXR, VinDr-CXR or PadChest-GR, as downloaded.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Studies, or phrases of --boxes; all if omitted.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help='Only these map methods: "late layers,contrast,uniform".'
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write sheets of good and bad cases to this folder."),
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Measure how well words are localized, for every method of making a map.

    Maps are evaluated against boxes and by occlusion, with 95 % intervals; a uniform map, the
    image center, Grad-CAM and occlusion maps are the baselines.
    """
    from training.grounding.command import GroundingOutputs, run_grounding
    from training.grounding.measure import Options
    from training.grounding.methods import METHODS

    names = METHODS if methods is None else tuple(name.strip() for name in methods.split(","))
    outputs, options = GroundingOutputs(json_file, images), Options(names, limit=limit)
    typer.echo(run_grounding(model, data, outputs, options, boxes, device))


def lungs(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images.")],
    model: ModelOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum images.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the first maps and lungs to this file.")
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure the share of attention inside the lungs, on images without boxes."""
    from training.grounding.lungs import run_lungs

    typer.echo(run_lungs(model, images, limit, sheet, json_file))


def answers(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder that the labels' images are below.")
    ],
    labels: Annotated[
        Path, typer.Option(metavar="FILE", help="JSON of what a reader saw on each image.")
    ],
    model: ModelOption = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure a model's answers about findings on images that a reader labeled."""
    from training.evaluation.image_labels import run_answers

    typer.echo(run_answers(model, images, labels, json_file))


def anatomy(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder that the outlines' images are below.")
    ],
    outlines: Annotated[
        Path, typer.Option(metavar="FILE", help="JSON with hand-made outlines of lungs.")
    ],
    phantoms: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of `prepare anatomy`: measure all parts on these too."),
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="PHANTOMS",
            help="First train the network, on these phantoms and on the folders in IMAGES "
            "that have a labels.csv, except the patients with outlines.",
        ),
    ] = None,
    learn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Outlines of radiographs to learn from first: with --fit from random weights, "
            "without by the last layers of the network that is there.",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --learn or --fit: outlines to choose the best stage on."
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw what was found to this file.")
    ] = None,
    json_file: JsonFileOption = None,
) -> None:
    """Measure how well lungs and other parts of the chest are found on radiographs."""
    from training.anatomy.measure import FitOptions, Outputs, run_anatomy

    options = FitOptions(fit, learn, validation) if fit or learn else None
    typer.echo(run_anatomy(images, outlines, phantoms, options, Outputs(sheet, json_file)))
