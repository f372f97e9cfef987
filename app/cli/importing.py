"""The commands `crossray prepare ...` for data that people have. Each imports what it needs."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import SizeOption, WorkersOption

__all__ = [
    "ExportOption",
    "ImagesOption",
    "OutArgument",
    "PriorOption",
    "SeedOption",
    "SourceArgument",
    "TargetOption",
    "boxes",
    "folder",
    "iu_xray",
    "kermany",
    "labeled",
    "mimic_cxr",
    "nih",
    "regions",
]

SourceArgument = Annotated[
    Path, typer.Argument(metavar="SRC", help="Folder with the data set, as unpacked.")
]
OutArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="Folder to write; an interrupted run is resumed.")
]
ImagesOption = Annotated[
    int,
    typer.Option(
        min=1, help="Maximum images per study: best frontal, best lateral, others. 1: a frontal."
    ),
]
TargetOption = Annotated[
    str,
    typer.Option(metavar="SECTIONS", help="Sections to predict: both, findings or impression."),
]
PriorOption = Annotated[
    bool, typer.Option("--prior", help="Add the frontal image of the patient's previous study.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of a split by hash.")]
ExportOption = Annotated[
    Path | None,
    typer.Option(
        "--export-r2gen",
        metavar="FILE",
        help="Also write OUT as R2Gen's annotation.json to this file.",
    ),
]


def iu_xray(
    source: SourceArgument,
    out: OutArgument,
    split: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="standard: the 2,069, 296 and 590 studies of the literature. patient: all, "
            "80/10/10 by hash.",
        ),
    ] = "standard",
    size: SizeOption = 512,
    images: ImagesOption = 2,
    target: TargetOption = "both",
    workers: WorkersOption = None,
    seed: SeedOption = 0,
    export_r2gen: ExportOption = None,
) -> None:
    """The Indiana University collection, in the layout of Open-i, Kaggle or R2Gen.

    The layout of SRC is detected. docs/how-to/data.md shows them.
    """
    from data_prep.datasets.iu_xray import studies
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, summary_text
    from data_prep.source import DataSet

    options = ImportOptions(size, images, target, split=split, seed=seed)
    data_set = DataSet({"source": "iu-xray"}, source, studies(source))
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))
    _export(out, export_r2gen)


def mimic_cxr(
    source: SourceArgument,
    out: OutArgument,
    reports: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the unpacked mimic-cxr-reports.zip; SRC if omitted."
        ),
    ] = None,
    size: SizeOption = 512,
    images: ImagesOption = 2,
    target: TargetOption = "both",
    prior: PriorOption = False,
    workers: WorkersOption = None,
    export_r2gen: ExportOption = None,
) -> None:
    """MIMIC-CXR with the official split: the JPG release, or the DICOM release.

    SRC holds files/ and the tables of MIMIC-CXR-JPG. docs/how-to/mimic-cxr.md lists the files.
    """
    from data_prep.datasets.mimic_cxr import studies
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, summary_text
    from data_prep.source import DataSet

    options = ImportOptions(size, images, target, prior)
    data_set = DataSet({"source": "mimic-cxr"}, source, studies(source, reports))
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))
    _export(out, export_r2gen)


def nih(
    source: SourceArgument,
    out: OutArgument,
    size: SizeOption = 512,
    images: ImagesOption = 2,
    prior: PriorOption = False,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
) -> None:
    """NIH ChestX-ray14: images and labels, from which template reports are made.

    SRC holds Data_Entry_2017*.csv and images*/, or labels.csv with the images beside it.
    """
    from data_prep.datasets.nih import studies
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, summary_text
    from data_prep.source import DataSet

    options = ImportOptions(size, images, "findings", prior, seed=seed)
    data_set = DataSet({"source": "nih"}, source, studies(source))
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))


def kermany(
    source: SourceArgument, out: OutArgument, size: SizeOption = 512, workers: WorkersOption = None
) -> None:
    """Radiographs of children, normal or with pneumonia (Kermany et al. 2018): for pretraining.

    SRC holds labels.csv (image, patient, label, split, aspect) with the images beside it.
    """
    from data_prep.datasets.kermany import studies
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, summary_text
    from data_prep.source import DataSet

    options = ImportOptions(size, 1, "findings")
    data_set = DataSet({"source": "kermany"}, source, studies(source))
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))


def labeled(
    source: SourceArgument,
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS", help="JSON file with the findings of each image."),
    ],
    out: OutArgument,
    size: SizeOption = 512,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
) -> None:
    """Radiographs of which a reader labeled some findings, such as devices: they have no reports.

    Training asks about those findings and learns nothing else from such an image.
    docs/how-to/data.md shows the form of LABELS.
    """
    from data_prep.datasets.labeled import studies
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, summary_text
    from data_prep.reader_labels import read_reader_labels
    from data_prep.source import DataSet

    options = ImportOptions(size, 1, "findings", seed=seed)
    settings = {"source": "labeled", "labels": labels.name}
    data_set = DataSet(settings, source, studies(read_reader_labels(labels), seed))
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))


def regions(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Prepared folder; is changed.")],
) -> None:
    """Give the lung findings of labeled radiographs the lungs as the region that holds them.

    A label does not say where a finding is; attention learns to stay in the lungs.
    """
    from data_prep.datasets.attach_lungs import attach_lungs

    done = attach_lungs(out)
    typer.echo(f"lungs         on {done.studies} images with a lung finding")
    typer.echo(f"unclear       {done.unclear} images without two plausible lungs")
    typer.echo(f"SHA-256 of the manifest {done.manifest_sha256}")


def folder(
    source: SourceArgument,
    out: OutArgument,
    reports: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="One report per row; without it, .txt files beside the images."
        ),
    ] = None,
    study_column: Annotated[
        str,
        typer.Option(help="StudyInstanceUID, accession number, or a file or folder below SRC."),
    ] = "study",
    report_column: Annotated[
        str | None, typer.Option(help="Whole reports, to be split into sections.")
    ] = None,
    findings_column: Annotated[str | None, typer.Option(help="Findings sections.")] = None,
    impression_column: Annotated[str | None, typer.Option(help="Impression sections.")] = None,
    indication_column: Annotated[str | None, typer.Option(help="Indications.")] = None,
    patient_column: Annotated[
        str | None, typer.Option(help="Patient identifiers; DICOM PatientID if omitted.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="train, validate or test; by hash of the patient if omitted.")
    ] = None,
    size: SizeOption = 512,
    images: ImagesOption = 2,
    target: TargetOption = "both",
    prior: PriorOption = False,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
) -> None:
    """A folder tree of DICOM, PNG or JPEG files, with a table of reports or a text per study."""
    from data_prep.datasets.folder import FolderReader
    from data_prep.datasets.report_table import ReportColumns
    from data_prep.importing.planning import ImportOptions
    from data_prep.importing.run import import_studies, named_counts, summary_text
    from data_prep.source import DataSet

    options = ImportOptions(size, images, target, prior, seed=seed)
    columns = None
    if reports is not None:
        columns = ReportColumns(
            study=study_column,
            report=report_column,
            findings=findings_column,
            impression=impression_column,
            indication=indication_column,
            patient=patient_column,
            split=split_column,
        )
    reader = FolderReader(source, reports, columns)
    settings = {"source": "folder", "columns": None if columns is None else vars(columns)}
    data_set = DataSet(settings, source, reader.studies())
    typer.echo(summary_text(import_studies(out, data_set, options, workers), out))
    typer.echo(f"reports by    {named_counts(dict(sorted(reader.matched.items())))}")


def boxes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Prepared folder; is changed.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Box file of MS-CXR, VinDr-CXR, PadChest-GR or NIH ChestX-ray14, as downloaded.",
        ),
    ],
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The images the boxes were drawn on; VinDr-CXR needs them."
        ),
    ] = None,
) -> None:
    """Add the boxes of a box file to the images of a prepared folder, matched by image name.

    Phrases of the box file that occur in a study's report are linked to them.
    """
    from data_prep.datasets.attach_boxes import attach
    from data_prep.importing.run import named_counts

    done = attach(out, file, originals)
    typer.echo(
        f"findings      {done.findings}, from {done.regions} regions on {done.images} images"
    )
    typer.echo(f"phrases       {done.phrases} in reports linked to them")
    typer.echo(f"elsewhere     {done.elsewhere} regions on images that are not in OUT")
    unmapped = f": {named_counts(dict(done.unmapped.most_common()))}" if done.unmapped else ""
    typer.echo(
        f"unmapped      {done.unmapped.total()} regions whose label is not a finding{unmapped}"
    )
    typer.echo(f"crowded       {done.crowded} places, on images that have 16 already")
    typer.echo(f"manifest      SHA-256 {done.manifest_sha256}")


def _export(out: Path, path: Path | None) -> None:
    if path is None:
        return
    from data_prep.importing.r2gen import export
    from data_prep.importing.run import named_counts

    typer.echo(
        f"{path} has {named_counts(export(out, path))} studies; its images are in {out}/images"
    )
