"""What should stop a report, or stand beside it, before anything is written.

An image is shrunk to 32 x 32. Histograms of its oriented gradients (Dalal and Triggs 2005) and its
pixels go into a network of one hidden layer, fitted by training/input_check/fit.py, that says what
it shows, which way up, and whether bone is white. A blank image is found by its values alone.
docs/explanation/input-check.md has the measured rates of false alarms and of misses. Without torch,
so that it loads at once.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.errors import CheckpointError
from model.imaging.radiograph import ImageWarning, WarningCode
from model.weights_file import read_weights, write_weights

__all__ = [
    "KINDS",
    "THRESHOLDS",
    "TURNS",
    "WEIGHTS",
    "InputCheck",
    "Probabilities",
    "examine",
    "features",
    "load_input_check",
    "save_input_check",
    "thumbnail",
]

WEIGHTS = Path(__file__).parent / "input_check.safetensors"

KINDS = ("frontal", "lateral", "cropped", "not_chest")
TURNS = (0, 90, 180, 270)
"""Degrees clockwise by which an image has been turned."""
THRESHOLDS = ("refused", "not_chest", "lateral", "cropped", "inverted", "rotated", "mirrored")
"""What `InputCheck.thresholds` holds, in this order."""

OUTPUTS = len(KINDS) + len(TURNS) + 2
"""Logits: of KINDS, of TURNS, that it is inverted, that it is mirrored."""

SIDE = 32
"""Pixels along each side of what the network sees."""
SHRUNK = 64
"""Longest side at which black borders are taken off."""
BLANK_SPREAD = 0.08
"""Of values between the 1st and the 99th hundredth: what reading could not window anew."""
SMALLEST_CONTENT = 5
"""Of SHRUNK pixels, along the shorter side of what is left without borders."""
FLAT = 0.05
"""A border's rows deviate by less than this share of the image's spread."""
CELL, DIRECTIONS = 4, 8
FEATURES = (SIDE // CELL) ** 2 * DIRECTIONS + (SIDE // 2) ** 2


@dataclass(frozen=True)
class Probabilities:
    """What the network makes of one image."""

    kind: tuple[float, ...]
    """Of KINDS; they sum to 1."""
    turn: tuple[float, ...]
    """Of TURNS, were it a frontal chest; they sum to 1."""
    inverted: float
    """That bone is black, were it a frontal chest."""
    mirrored: float
    """That left and right are exchanged, were it an upright frontal chest."""

    @property
    def scores(self) -> dict[str, float]:
        """By the names of THRESHOLDS."""
        kinds = dict(zip(KINDS, self.kind, strict=True))
        return {
            "refused": kinds["not_chest"],
            "not_chest": kinds["not_chest"],
            # Of chests: a lateral that looks odd is a lateral all the same.
            "lateral": kinds["lateral"] / max(1 - kinds["not_chest"], 1e-6),
            "cropped": kinds["cropped"],
            "inverted": self.inverted,
            "rotated": 1 - self.turn[0],
            "mirrored": self.mirrored,
        }


@dataclass(frozen=True, eq=False)
class InputCheck:
    """The fitted network: standardized features, one hidden layer of rectified units, logits."""

    mean: np.ndarray
    """float32 (FEATURES,), as is deviation."""
    deviation: np.ndarray
    hidden: np.ndarray
    """float32 (FEATURES + 1, units); the last row is the bias."""
    output: np.ndarray
    """float32 (units + 1, OUTPUTS)."""
    thresholds: np.ndarray
    """float32 (7,): a score of THRESHOLDS above it is a warning, of "refused" a refusal."""

    def judge(self, thumbnails: np.ndarray) -> list[Probabilities]:
        """float32 (images, 32, 32) -> one judgement an image.

        A chest's mirror image is upright too: the image and its mirror image are averaged, in
        which a turn by 90 degrees becomes one by 270, and what speaks for mirrored against it.
        """
        kinds, turns = len(KINDS), len(TURNS)
        mirrored = self._logits(thumbnails[:, :, ::-1])
        back = [*range(kinds), *(kinds + (turns - k) % turns for k in range(turns)), kinds + turns]
        back.append(kinds + turns + 1)
        mirrored[:, -1] *= -1
        logits = (self._logits(thumbnails) + mirrored[:, back]) / 2
        return [
            Probabilities(
                tuple(_softmax(row[:kinds])),
                tuple(_softmax(row[kinds : kinds + turns])),
                _softmax(np.array([0.0, row[-2]]))[1],
                _softmax(np.array([0.0, row[-1]]))[1],
            )
            for row in logits
        ]

    def _logits(self, thumbnails: np.ndarray) -> np.ndarray:
        standard = (features(thumbnails) - self.mean) / self.deviation
        units = np.maximum(standard @ self.hidden[:-1] + self.hidden[-1], 0)
        result: np.ndarray = units @ self.output[:-1] + self.output[-1]
        return result


def _softmax(logits: np.ndarray) -> list[float]:
    weights = np.exp(logits - logits.max())
    result: list[float] = (weights / weights.sum()).tolist()
    return result


def features(thumbnails: np.ndarray) -> np.ndarray:
    """float32 (images, 32, 32) -> float32 (images, FEATURES).

    Of each cell of 4 x 4 pixels, gradients summed by direction over the whole circle (so that bone
    black differs from bone white) and divided by their strength about it; then 16 x 16 pixels.
    """
    count, cells = len(thumbnails), SIDE // CELL
    across, down = np.zeros_like(thumbnails), np.zeros_like(thumbnails)
    across[:, :, 1:-1] = thumbnails[:, :, 2:] - thumbnails[:, :, :-2]
    down[:, 1:-1] = thumbnails[:, 2:] - thumbnails[:, :-2]
    # cos 45 degrees: each direction takes from its neighbors' half way only.
    baseline = 0.7071 * np.sqrt(across * across + down * down)
    bins = np.empty((count, DIRECTIONS, cells, cells), np.float32)
    for k in range(DIRECTIONS):
        angle = 2 * np.pi * k / DIRECTIONS
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        share = np.maximum(across * cos + down * sin - baseline, 0)
        bins[:, k] = _pooled(share, CELL)
    padded = np.pad(bins.sum(axis=1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    near = np.zeros((count, cells, cells), np.float32)
    for y, x in np.ndindex(3, 3):
        near += padded[:, y : y + cells, x : x + cells] / 9
    bins = np.sqrt(bins / (near[:, None] + np.float32(0.2)))
    pixels = _pooled(thumbnails, 2) / 4
    return np.concatenate([bins.reshape(count, -1), pixels.reshape(count, -1)], axis=1)


def _pooled(planes: np.ndarray, cell: int) -> np.ndarray:
    """Sums over squares of `cell` pixels."""
    count, height, width = planes.shape
    rows = planes.reshape(count, height, width // cell, cell).sum(axis=3)
    result: np.ndarray = rows.reshape(count, height // cell, cell, width // cell).sum(axis=2)
    return result


def examine(pixels: np.ndarray, view: str | None = None) -> tuple[ImageWarning, ...]:
    """What speaks against writing a report on this image; empty where nothing does.

    Args:
        pixels: (height, width) in [0, 1], bone white: `Radiograph.pixels`.
        view: `Radiograph.view`. What says that it is a lateral is only asked whether it is blank:
            the rest was fitted on frontal images.

    Returns:
        at most one of blank, not_chest, lateral and cropped; or some of inverted, rotated and
        mirrored, the last of upright ones.
        "out_of_distribution" is not among them: it takes the encoder's features.

    Raises:
        ValueError: pixels that are not two-dimensional, or empty.
        CheckpointError: the input check's weights are missing or altered.
    """
    shrunk = _shrink(pixels)
    spread = _spread(shrunk)
    if not spread >= BLANK_SPREAD:
        return (
            _refusal(
                "blank",
                f"The image is blank: its values spread over {spread:.3f} of black to white, and "
                f"at least {BLANK_SPREAD} are needed; export it again or choose another.",
            ),
        )
    content = _without_borders(shrunk, spread)
    if min(content.shape) < SMALLEST_CONTENT:
        share = content.size / shrunk.size
        return (
            _refusal(
                "blank",
                f"The image is blank but for {share:.1%} of its area; export it again or choose "
                "another.",
            ),
        )
    if view == "LATERAL":
        return ()
    input_check = load_input_check()
    (seen,) = input_check.judge(_standardize(content)[None])
    return _warnings(seen, dict(zip(THRESHOLDS, input_check.thresholds.tolist(), strict=True)))


_MESSAGES: dict[str, tuple[WarningCode, str]] = {
    "refused": (
        "not_chest",
        "This does not look like a chest radiograph ({measured}): choose a frontal chest "
        "radiograph.",
    ),
    "lateral": (
        "lateral",
        "This looks like a lateral view ({measured}) and was read as a frontal one: choose the "
        "frontal one, or say that it is a lateral to a model that reads those.",
    ),
    "cropped": (
        "cropped",
        "Much of the chest seems to be cut away ({measured}): choose the whole image, or trust "
        "nothing about what it does not show.",
    ),
    "not_chest": (
        "not_chest",
        "This may be no chest radiograph ({measured}): look at the image before you trust the "
        "report.",
    ),
    "inverted": (
        "inverted",
        "Bone looks black ({measured}): invert the image, or export it with bone white.",
    ),
    "rotated": (
        "rotated",
        "The chest seems to be turned by {degrees} degrees clockwise ({measured}): turn it "
        "upright.",
    ),
    "mirrored": (
        "mirrored",
        "The heart seems to lie on the patient's right ({measured}): left and right may be "
        "exchanged; compare the side marker, and think of dextrocardia.",
    ),
}
"""By score, the gravest first: its warning."""
_ALONE = ("refused", "lateral", "cropped", "not_chest")
"""Where one of these holds, the others mean nothing."""


def _warnings(seen: Probabilities, limits: dict[str, float]) -> tuple[ImageWarning, ...]:
    found = [name for name in _MESSAGES if seen.scores[name] > limits[name]]
    found = [name for name in found if name in _ALONE][:1] or found
    if "rotated" in found and "mirrored" in found:
        found.remove("mirrored")
    degrees = max(zip(seen.turn[1:], TURNS[1:], strict=True))[1]
    warnings = []
    for name in found:
        code, message = _MESSAGES[name]
        score = f"{code.replace('_', ' ')} {seen.scores[name]:.3f}, limit {limits[name]:.3f}"
        message = message.format(measured=score, degrees=degrees)
        warnings.append(ImageWarning(code, message, refuses=name == "refused"))
    return tuple(warnings)


def _refusal(code: WarningCode, message: str) -> ImageWarning:
    return ImageWarning(code, message, refuses=True)


def thumbnail(pixels: np.ndarray) -> np.ndarray | None:
    """(height, width) in [0, 1] -> float32 (32, 32) in [-1, 1] as the network sees it.

    None where the image is blank. Flat borders are off, the aspect is kept, the rest is 0.
    """
    shrunk = _shrink(pixels)
    spread = _spread(shrunk)
    if not spread >= BLANK_SPREAD:
        return None
    content = _without_borders(shrunk, spread)
    return _standardize(content) if min(content.shape) >= SMALLEST_CONTENT else None


def _shrink(pixels: np.ndarray) -> np.ndarray:
    """(height, width) -> float32, the longer side SHRUNK pixels."""
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"expected pixels (height, width), got an array of shape {pixels.shape}")
    # Averaging 36 megapixels would take longer than all that follows.
    step = max(1, max(pixels.shape) // 1024)
    return _resize(np.ascontiguousarray(pixels[::step, ::step], dtype=np.float32), SHRUNK)


def _resize(pixels: np.ndarray, longest: int) -> np.ndarray:
    height, width = pixels.shape
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _spread(pixels: np.ndarray) -> float:
    low, high = _ends(pixels)
    return high - low


def _ends(pixels: np.ndarray) -> tuple[float, float]:
    """About the 1st and the 99th percentile; np.percentile takes longer than the network."""
    ordered = np.sort(pixels, axis=None)
    tail = len(ordered) // 100
    return float(ordered[tail]), float(ordered[-1 - tail])


def _without_borders(pixels: np.ndarray, spread: float) -> np.ndarray:
    """Rows and columns at the edges that are nearly of one value taken off."""
    rows = np.flatnonzero(pixels.std(axis=1) > FLAT * spread)
    columns = np.flatnonzero(pixels.std(axis=0) > FLAT * spread)
    if not (len(rows) and len(columns)):
        return pixels[:0, :0]
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _standardize(content: np.ndarray) -> np.ndarray:
    inner = _resize(np.ascontiguousarray(content), SIDE)
    low, high = _ends(inner)
    scaled = ((inner - low) / max(high - low, 1e-6) * 2 - 1).clip(-1, 1)
    square = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - inner.shape[0]) // 2, (SIDE - inner.shape[1]) // 2
    square[top : top + inner.shape[0], left : left + inner.shape[1]] = scaled
    return square


def save_input_check(input_check: InputCheck, path: Path = WEIGHTS) -> str:
    """Write the weights and, beside them, their SHA-256, which is returned."""
    content = save(
        {f.name: np.ascontiguousarray(getattr(input_check, f.name)) for f in fields(input_check)}
    )
    digest = write_weights(content, path)
    load_input_check.cache_clear()
    return digest


@cache
def load_input_check(path: Path = WEIGHTS) -> InputCheck:
    """The fitted network, read and verified once; a service calls this before it is ready.

    Raises:
        CheckpointError: the weights or their sum are missing or altered, or are those of another
            network.
    """
    way_out = (
        "install CrossRay again, or fit the input check anew with `crossray input-check --fit`"
    )
    try:
        network = InputCheck(**load(read_weights(path, way_out)))
    except (SafetensorError, TypeError) as error:
        raise CheckpointError(f"{path.name} holds another network; {way_out}") from error
    units = network.hidden.shape[-1]
    shapes = [(FEATURES,), (FEATURES,), (FEATURES + 1, units), (units + 1, OUTPUTS)]
    arrays = [getattr(network, field.name) for field in fields(network)]
    if [array.shape for array in arrays] != [*shapes, (len(THRESHOLDS),)]:
        raise CheckpointError(f"{path.name} holds another network; {way_out}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise CheckpointError(f"{path.name} holds values that are not finite; {way_out}")
    return network
