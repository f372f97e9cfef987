"""The command `crossray robustness`: reports and heatmaps while images get worse and worse.

Each kind of corruption grows in steps; the same studies are read at each. Where a score falls below
BROKEN of what it is on clean images, it has broken.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.manifest import Study, manifest_hash, read_studies
from data_prep.occlusion import cover
from data_prep.source import IMPORTED
from model.decoding import GREEDY
from model.errors import ConfigError, DataError
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from training.bootstrap import interval
from training.evaluation.finding_scores import AttentionMaps, score_findings
from training.evaluation.plots import draw_robustness, require_matplotlib
from training.evaluation.results import ROBUSTNESS_SCORES, Level, Robustness
from training.files import require_writable, write_json
from training.provenance import data_record, learned_from, record_of
from training.study_inputs import exam_of, readable

__all__ = ["CORRUPTIONS", "Corruption", "breaks", "robustness", "run_robustness"]

BROKEN = 0.9
"""Share of the score on clean images."""
BATCH = 16
Image = np.ndarray
"""float32 (height, width) in [0, 1], or a bool mask of the same shape."""


@dataclass(frozen=True)
class Corruption:
    """One way to degrade an image (Hendrycks and Dietterich 2019, ImageNet-C)."""

    unit: str
    amounts: tuple[float, ...]
    """From little to much."""
    change: Callable[[Image, float, np.random.Generator], Image]
    moved: Callable[..., Image] | None = None
    """What becomes of a mask on the image, where it does not stay in place."""


def _noise(pixels: Image, amount: float, rng: np.random.Generator) -> Image:
    return np.clip(pixels + rng.normal(0, amount, pixels.shape), 0, 1).astype(np.float32)


def _blur(pixels: Image, amount: float, rng: np.random.Generator) -> Image:
    return cv2.GaussianBlur(pixels, (0, 0), amount / 100 * max(pixels.shape))


def _flatten(pixels: Image, amount: float, rng: np.random.Generator) -> Image:
    mean = pixels.mean()
    result: Image = (mean + (pixels - mean) * (1 - amount)).astype(np.float32)
    return result


def _turn(pixels: Image, amount: float, rng: np.random.Generator) -> Image:
    return _turned(pixels, amount, cv2.INTER_LINEAR)


def _turn_mask(mask: Image, amount: float) -> Image:
    return _turned(mask.astype(np.uint8), amount, cv2.INTER_NEAREST).astype(bool)


def _turned(pixels: Image, degrees: float, interpolation: int) -> Image:
    height, width = pixels.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(pixels, turn, (width, height), flags=interpolation)


def _occlude(pixels: Image, amount: float, rng: np.random.Generator) -> Image:
    height, width = (round(side * amount**0.5) for side in pixels.shape)
    top = int(rng.integers(0, pixels.shape[0] - height + 1))
    left = int(rng.integers(0, pixels.shape[1] - width + 1))
    return cover(pixels, [(left, top, left + width, top + height)])


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        "standard deviation, of the full range", (0.02, 0.05, 0.1, 0.2, 0.4), _noise
    ),
    "blur": Corruption(
        "standard deviation, % of the longer side", (0.2, 0.5, 1.0, 2.0, 4.0), _blur
    ),
    "contrast": Corruption("share of the contrast lost", (0.3, 0.5, 0.7, 0.85, 0.95), _flatten),
    "rotation": Corruption("degrees", (5, 10, 15, 20, 30), _turn, _turn_mask),
    "occlusion": Corruption("share of the image covered", (0.05, 0.1, 0.2, 0.3, 0.5), _occlude),
}
"""An occluded finding counts as missed."""


def run_robustness(
    model_dir: Path,
    data: Path,
    studies: int,
    json_file: Path | None = None,
    image: Path | None = None,
    device: str = "cpu",
) -> str:
    """Measure, write JSON and an image where asked, return the table to print.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError: no studies with findings, or no folder to write in.
    """
    require_writable(json_file, image)
    if image is not None:
        require_matplotlib()
        if image.suffix.lower() != ".png":
            raise ConfigError(f"--image {image.name!r}: what is drawn is a .png")
    generator = ReportGenerator.load(model_dir, device=device)
    record = record_of(model_dir)
    split = "test" if learned_from(record, data) else "all"
    measured = robustness(generator, data, split, studies)
    if json_file is not None:
        write_json(json_file, asdict(measured))
    if image is not None:
        draw_robustness(
            measured, {name: corruption.unit for name, corruption in CORRUPTIONS.items()}, image
        )
    return _table(measured)


def robustness(
    generator: ReportGenerator, data: Path, split: str, limit: int, progress: bool = True
) -> Robustness:
    """Read the first `limit` studies of a split at every level of every corruption.

    Raises:
        DataError: none of them has a finding, or none can be read.
    """
    every = [study for study in read_studies(data) if split in ("all", study.split)]
    studies = list(readable(every, generator.model.config.views))[:limit]
    if data_record(data).get("source") in IMPORTED or not any(s.findings for s in studies):
        raise DataError(
            f"split {split!r} of {str(data)!r} has no study with findings of which all have boxes, "
            "as phantoms have them: robustness needs them"
        )
    exams = [
        exam_of(generator, study, [data / image.path for image in study.images])
        for study in studies
    ]
    steps = 1 + sum(len(corruption.amounts) for corruption in CORRUPTIONS.values())
    with tqdm(total=steps * len(studies), unit="report", disable=not progress) as bar:
        clean = _level(generator, studies, exams, None, 0.0, bar)
        levels = {
            name: [
                clean,
                *(
                    _level(generator, studies, exams, corruption, a, bar)
                    for a in corruption.amounts
                ),
            ]
            for name, corruption in CORRUPTIONS.items()
        }
    return Robustness(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=manifest_hash(data),
        studies=len(studies),
        levels=levels,
        breaks={name: breaks(of_one) for name, of_one in levels.items()},
    )


def _level(
    generator: ReportGenerator,
    studies: Sequence[Study],
    exams: Sequence[Exam],
    corruption: Corruption | None,
    amount: float,
    bar: tqdm,
) -> Level:
    maps, texts = AttentionMaps(len(studies)), []
    moved = (
        partial(corruption.moved, amount=amount)
        if corruption is not None and corruption.moved
        else None
    )
    for first in range(0, len(exams), BATCH):
        rows = range(first, min(first + BATCH, len(exams)))
        given = [_corrupted(exams[row], corruption, amount, row) for row in rows]
        for row, report in zip(
            rows, generator.reports(given, GREEDY, input_check=False), strict=True
        ):
            maps.add(row, studies[row], report, moved)
            texts.append(report.text)
        bar.update(len(rows))
    scores = score_findings(studies, texts, maps)
    return Level(amount, scores.finding_f1["macro"], scores.pointing_game, scores.normal_recall)


def _corrupted(exam: Exam, corruption: Corruption | None, amount: float, row: int) -> Exam:
    """All images of a study changed; every level draws the same noise and the same places."""
    if corruption is None:
        return exam
    rng = np.random.default_rng(row)

    def changed(images: Sequence[Radiograph]) -> list[Radiograph]:
        return [replace(one, pixels=corruption.change(one.pixels, amount, rng)) for one in images]

    return replace(exam, images=changed(exam.images), priors=changed(exam.priors))


def breaks(levels: Sequence[Level]) -> dict[str, float | None]:
    """By score, the first amount at which it is below BROKEN of the clean one.

    What cannot be measured at a level, as where no word names a true finding, is not broken there.
    """
    first: dict[str, float | None] = {}
    for name in ROBUSTNESS_SCORES:
        clean = getattr(levels[0], name).value
        if not clean:
            continue
        values = ((level.amount, getattr(level, name).value) for level in levels[1:])
        broken = (amount for amount, v in values if v is not None and v < BROKEN * clean)
        first[name] = next(broken, None)
    return first


def _table(measured: Robustness) -> str:
    """A line a level, then where each score breaks."""
    lines = [
        f"{measured.model} on {measured.studies} studies, the same at every level",
        f"{'corruption':<12}{'amount':>8}  {'macro F1 [95 %]':<24}{'pointing [95 %]':<24}"
        f"{'normal [95 %]':<24}",
    ]
    for name, levels in measured.levels.items():
        for level in levels:
            scores = "".join(
                f"{interval(getattr(level, each), 3):<24}" for each in ROBUSTNESS_SCORES
            )
            lines.append(f"{name:<12}{level.amount:>8g}  {scores}")
    for name, breaks in measured.breaks.items():
        amounts = ", ".join(f"{score} {_broken(amount)}" for score, amount in breaks.items())
        lines.append(f"{name} ({CORRUPTIONS[name].unit}) breaks: {amounts}")
    lines.append(f"broken: less than {BROKEN:g} of the score on clean images")
    return "\n".join(lines)


def _broken(amount: float | None) -> str:
    return "never" if amount is None else f"at {amount:g}"
