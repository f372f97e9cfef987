"""The commands `crossray prepare ...`: each makes a prepared folder. Each imports what it needs."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import SizeOption, WorkersOption

__all__ = ["prepare"]

prepare = typer.Typer(
    help="Prepare a data set for training and evaluation.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@prepare.command("phantom")
def prepare_phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    studies: Annotated[int, typer.Option(min=1, help="Number of studies.")],
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")],
    size: SizeOption = 256,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Also write the images as DX DICOM files.")
    ] = False,
    occluded: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of images with a gray rectangle; findings under it are not reported.",
        ),
    ] = 0.0,
    lateral: Annotated[
        float, typer.Option(min=0, max=1, help="Share of studies with a lateral image.")
    ] = 0.0,
    prior: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of studies with a prior image that the report compares with.",
        ),
    ] = 0.0,
    indication: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of studies with an indication."),
    ] = 0.0,
    locations: Annotated[
        bool,
        typer.Option("--places", help="Also write where absent findings would show."),
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """Simulated chest radiographs with reports, masks and boxes."""
    from data_prep.phantom.prepare import PhantomOptions
    from data_prep.phantom.prepare import prepare_phantom as make
    from data_prep.phantom.study import Additions

    additions = Additions(occluded, lateral, prior, indication)
    digest = make(out, PhantomOptions(studies, seed, size, dicom, additions, locations), workers)
    typer.echo(f"{studies} studies in {out}, SHA-256 of the manifest {digest}")


@prepare.command("anatomy")
def prepare_anatomy(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(min=1, help="How many phantoms.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same phantoms.")],
    size: SizeOption = 160,
) -> None:
    """Make simulated radiographs with masks of lungs, heart and bones, for `crossray anatomy`."""
    from data_prep.phantom.parts import prepare_parts

    prepare_parts(out, count, seed, size)
    typer.echo(f"{count} phantoms in {out}")


@prepare.command("composed")
def prepare_composed(
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="Prepared folder of labeled radiographs, as of `nih`."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    each: Annotated[int, typer.Option(min=1, help="Composed images of each radiograph.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the first images to this file.")
    ] = None,
) -> None:
    """Put phantom findings and devices into the radiographs without labels of a prepared folder.

    Reports, boxes and masks are the findings' own. Test splits are not used.
    """
    from data_prep.composition.prepare import prepare_composed as make

    typer.echo(make(source, out, each, seed, sheet))
