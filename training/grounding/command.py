"""The command `crossray grounding`: measures, writes what is asked for, returns what is printed."""

from dataclasses import dataclass
from pathlib import Path

from data_prep.manifest import manifest_hash
from model.generator import ReportGenerator
from model.torch_network import torch_network
from training.files import require_writable
from training.grounding.cases import of_boxes, of_folder
from training.grounding.measure import EVERYTHING, Options, ground, ground_boxes
from training.grounding.methods import late_layers
from training.grounding.results import write_json
from training.grounding.sheets import write_sheets
from training.grounding.table import table
from training.provenance import learned_from, record_of

__all__ = ["GroundingOutputs", "run_grounding"]


@dataclass(frozen=True)
class GroundingOutputs:
    """What `run_grounding` writes; None writes nothing."""

    json_file: Path | None = None
    sheets: Path | None = None
    """Folder for sheets of good and bad cases."""


def run_grounding(
    model_dir: Path,
    data: Path,
    outputs: GroundingOutputs = GroundingOutputs(),
    options: Options = EVERYTHING,
    boxes: Path | None = None,
    device: str = "cpu",
) -> str:
    """Measure the maps of a checkpoint folder.

    Args:
        data: prepared folder with truth; or, with `boxes`, a folder of images. Of a folder the
            checkpoint may have been trained on only the test split is measured.
        boxes: box file of NIH ChestX-ray14, MS-CXR or VinDr-CXR.

    Returns:
        What is printed.

    Raises:
        CheckpointError, DataError, ConfigError: see `ground`, `ground_boxes` and `write_sheets`.
    """
    require_writable(outputs.json_file)
    generator = ReportGenerator.load(model_dir, device=device)
    known = (generator.tokenizer, generator.model.config)
    if boxes is not None:
        subjects, missing = of_boxes(boxes, data, *known, options.limit)
        measured = ground_boxes(generator, subjects, missing, options)
    else:
        split = "test" if learned_from(record_of(model_dir), data) else "all"
        studies, subjects = of_folder(data, *known, split, options.limit)
        measured = ground(generator, studies, subjects, manifest_hash(data), options)
    if outputs.json_file is not None:
        write_json(measured, outputs.json_file)
    if outputs.sheets is not None:
        write_sheets(torch_network(generator.model), subjects, late_layers, outputs.sheets)
    return table(measured)
