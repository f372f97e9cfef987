"""The commands that read folders of studies: batch and batch-merge."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import (
    EXIT_BAD_FILES,
    DeviceOption,
    EngineOption,
    IdentityCheckOption,
    InputCheckOption,
    ModelOption,
    PrecisionOption,
    StoreOption,
    ThreadsOption,
)
from model.errors import ConfigError

__all__ = ["batch", "batch_merge"]

ParquetOption = Annotated[
    bool,
    typer.Option(
        "--parquet", help="Write findings.parquet too, a row for each finding. Needs pyarrow."
    ),
]


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="Folder; all files below it are read. Or s3://, gs://, az://."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder for the results. Or s3://, gs://, az://."
        ),
    ],
    model: ModelOption = None,
    engine: EngineOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "f32",
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Studies per batch.")] = 4,
    redo: Annotated[
        bool, typer.Option("--redo", help="Redo finished studies, also those of another model.")
    ] = False,
    no_input_check: InputCheckOption = False,
    no_identity_check: IdentityCheckOption = False,
    threads: ThreadsOption = None,
    store: StoreOption = None,
    indications: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file with the columns study (StudyInstanceUID, or the path of a file or "
            "folder below IN) and indication. For models that read indications.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do only part I of N. Parts may run at the same time, into one OUT; "
            "`crossray batch-merge OUT` then writes summary.csv.",
        ),
    ] = None,
    identifiers: Annotated[
        bool,
        typer.Option(
            "--identifiers",
            help="Write StudyInstanceUID and accession number into summary.csv and index.html.",
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the studies over the Ray cluster at this address; local starts one on "
            "this machine. Needs crossray[ray]; IN, OUT and DIR must be the same on every node.",
        ),
    ] = None,
    findings: ParquetOption = False,
) -> None:
    """Write a report for every study below a folder.

    DICOM files are grouped by StudyInstanceUID; a PNG or JPEG is a study of its own.
    OUT gets summary.csv, the same as a page (index.html) and, for each study, report.json and
    heatmaps.jpg. Files that are no radiograph of a view the model reads are skipped, and studies
    that a check refuses get no report, both with the reason in summary.csv. Files that should be
    images and cannot be read are listed at the end, and the exit status is then 3. A second run
    does only what is missing.
    """
    if ray is not None and (device, precision) != ("cpu", "f32"):
        raise ConfigError("--device and --precision are of this machine: leave them out with --ray")
    from app.batch.locations import parse_location
    from app.batch.ray_workers import Cluster
    from app.batch.run import BatchOptions, run_batch
    from app.batch.sharding import Shard
    from app.batch.stages import Checks
    from app.batch.summary import summary_name
    from app.cli.batch_output import batch_text
    from app.cli.exams import generator_of
    from app.cli.loading import start_loading
    from model.engine.load import engine_name

    part = None if shard is None else Shard.parse(shard)
    kept = None
    if store is not None:
        from app.settings import load_settings

        kept = load_settings(store=store).store_options
    options = BatchOptions(
        batch_size=batch_size,
        redo=redo,
        checks=Checks(input_check=not no_input_check, identity_check=not no_identity_check),
        indications=indications,
        shard=part,
        store=kept,
        identifiers=identifiers,
        cluster=None if ray is None else Cluster(ray, model, engine_name(engine), threads),
        findings=findings,
    )
    studies, results = parse_location(source), parse_location(out)
    generator = generator_of(start_loading(model, engine, device, threads, precision))
    outcome = run_batch(generator, studies, results, options)
    typer.echo(batch_text(outcome, str(results / summary_name(part))), err=True)
    if outcome.failed:
        raise typer.Exit(EXIT_BAD_FILES)


def batch_merge(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where the parts have written.")],
    findings: ParquetOption = False,
) -> None:
    """Write one summary.csv of a batch whose parts ran with --shard."""
    from app.batch.locations import parse_location
    from app.batch.merging import merge_shards
    from app.batch.summary import summary_name
    from app.cli.batch_output import merged_text

    results = parse_location(out)
    merged = merge_shards(results, findings)
    typer.echo(merged_text(merged, str(results / summary_name(None))), err=True)
    if merged.failed:
        raise typer.Exit(EXIT_BAD_FILES)
