"""The command `crossray grounding`: measures, writes what is asked for, returns what is printed."""

from dataclasses import replace
from pathlib import Path

from data_prep.manifest import manifest_hash
from model.errors import DataError
from model.generator import ReportGenerator
from training.grounding.cases import of_boxes, of_folder
from training.grounding.measure import EVERYTHING, Options, ground, ground_boxes, write_json
from training.grounding.methods import METHODS, late_layers
from training.grounding.sheets import write_sheets
from training.grounding.table import table
from training.provenance import record_of, saw

__all__ = ["run_grounding"]


def run_grounding(
    model_dir: Path,
    data: Path,
    json_file: Path | None = None,
    boxes: Path | None = None,
    limit: int | None = None,
    methods: tuple[str, ...] = METHODS,
    images: Path | None = None,
    device: str = "cpu",
    options: Options = EVERYTHING,
) -> str:
    """Measure the maps of a checkpoint folder.

    Args:
        data: prepared folder with truth; or, with `boxes`, a folder of images. Of a folder the
            checkpoint may have been trained on only the test split is measured.
        boxes: box file of NIH ChestX-ray14, MS-CXR or VinDr-CXR.
        limit: only the first studies, or phrases of the box file.
        images: folder to write sheets of good and bad cases to.
        options: how much is measured besides; `methods` count, not its own.

    Returns:
        What is printed.

    Raises:
        CheckpointError, DataError, ConfigError: see `ground`, `ground_boxes` and `write_sheets`.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise DataError(f"no folder {str(json_file.parent)!r} to write {json_file.name!r} in")
    generator = ReportGenerator.load(model_dir, device=device)
    known = (generator.tokenizer, generator.model.config)
    chosen = replace(options, methods=methods)
    if boxes is not None:
        subjects, missing = of_boxes(boxes, data, *known, limit)
        measured = ground_boxes(generator, subjects, missing, chosen)
    else:
        record = record_of(model_dir)
        studies, subjects = of_folder(data, *known, "test" if saw(record, data) else "all", limit)
        measured = ground(generator, studies, subjects, manifest_hash(data), chosen)
    if json_file is not None:
        write_json(measured, json_file)
    if images is not None:
        write_sheets(generator.model, subjects, late_layers, images)
    return table(measured)
