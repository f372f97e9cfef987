"""Stored values -> display values in the DICOM standard's order, as one table.

A radiograph has at most 65,536 different stored values, so the whole chain (modality, values of
interest, presentation) is worked out once a value, in float64, and looked up once a pixel. See
DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT and windows) and C.7.6.3.1.2 (photometric).
"""

from dataclasses import dataclass, replace

import numpy as np

from model.imaging.radiograph import ImageWarning

__all__ = ["Grayscale", "LookupTable", "Range", "Voi", "Window", "display", "with_voi"]

_BLOCK = 1 << 15
"""Pixels looked up at a time: numpy makes indices 8 bytes each, and these stay in the cache."""
_SAMPLED = 1 << 18
"""Pixels that decide whether an image can be seen."""
_SPREAD = 0.2
"""Of values between the 1st and the 99th hundredth, in a radiograph that can be seen."""
_BETWEEN = 0.05
"""Share of its pixels that are neither black nor white."""
_LEVELS = 8
"""Different values that are worth a window of their own."""


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI LUT: entries from `first` on, clamped at both ends."""

    first: int
    entries: np.ndarray
    bits: int
    """Depth of the entries as the descriptor states it."""
    name: str = ""
    """What the file calls it, such as "HARDER"."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        index = np.floor(values) - self.first
        result: np.ndarray = self.entries[
            index.clip(0, len(self.entries) - 1).astype(np.intp)
        ].astype(np.float64)
        return result

    @property
    def top(self) -> float:
        """The output that is white.

        The largest of the stated depth; where all entries stay in its lower half, of the depth
        that they fill; where entries exceed it, the largest entry.
        """
        largest, stated = int(self.entries.max()), (1 << self.bits) - 1
        if largest > stated:
            return float(largest)
        filled = (1 << largest.bit_length()) - 1
        return float(filled if filled else stated)


@dataclass(frozen=True)
class Window:
    """A window of a function and width that DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 allow."""

    center: float
    width: float
    function: str = "LINEAR"
    """LINEAR (width >= 1), LINEAR_EXACT or SIGMOID (width > 0)."""
    name: str = ""
    """What the file calls it, such as "LUNG"."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Modality values -> [0, 1]."""
        if self.function == "SIGMOID":
            # Beyond +-700 the exponential overflows, and the result is 0 or 1 anyway.
            slope = (-4 * (values - self.center) / self.width).clip(-700, 700)
            result: np.ndarray = 1 / (1 + np.exp(slope))
            return result
        if self.function == "LINEAR_EXACT":
            return ((values - self.center) / self.width + 0.5).clip(0, 1)
        offset = values - (self.center - 0.5)
        if self.width == 1:
            return (offset > 0).astype(np.float64)
        return (offset / (self.width - 1) + 0.5).clip(0, 1)


@dataclass(frozen=True)
class Range:
    """Modality values from `low`, black, to `high`, white; all black where the two coincide."""

    low: float
    high: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if self.high <= self.low:
            return np.zeros_like(values)
        return ((values - self.low) / (self.high - self.low)).clip(0, 1)


Voi = LookupTable | Window | Range
"""How modality values become gray: a table, a window, or a range where the file says nothing."""


@dataclass(frozen=True)
class Grayscale:
    """How one image's stored values are meant to be shown."""

    bits: int = 16
    """BitsStored."""
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    """Used instead of slope and intercept."""
    voi: Voi | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None
    """Smallest and largest stored value that mark pixels outside the image."""


def display(codes: np.ndarray, grayscale: Grayscale) -> tuple[np.ndarray, tuple[ImageWarning, ...]]:
    """Stored values -> float32 (height, width) in [0, 1], inverted where the file says so.

    Without a VOI LUT or window, values of 8 bits or fewer are taken as ready for display, over
    their whole range; deeper ones are shown from their 0.5th to their 99.5th percentile (burnt-in
    labels are brighter than any bone), or from least to greatest where these two coincide. So are
    those that a LUT, a window or their whole range would show nearly black, nearly white or
    nearly without gray, with a warning. An image of one single value is black. Padding is black and
    counts in no percentile.

    Args:
        codes: unsigned integers (height, width), each the BitsStored bits of a pixel; where the
            image is signed, in two's complement.
        grayscale: what the header says of them.
    """
    grayscale, warnings = with_voi(codes, grayscale)
    assert grayscale.voi is not None
    modality, padding = _levels(grayscale)
    shown = _shown(grayscale.voi, modality)
    if grayscale.inverted:
        shown = 1 - shown
    shown[padding] = 0
    return _looked_up(shown.astype(np.float32), codes), warnings


def with_voi(codes: np.ndarray, grayscale: Grayscale) -> tuple[Grayscale, tuple[ImageWarning, ...]]:
    """The same, with the VOI that `display` shows these codes by; Args as there."""
    modality, padding = _levels(grayscale)
    voi = grayscale.voi
    if voi is None and grayscale.bits <= 8:
        voi = Range(float(modality.min()), float(modality.max()))
    sampled = _counts(_sampled(codes), len(modality)) * ~padding
    spoilt = _unseen(_shown(voi, modality), sampled) if voi is not None else None
    if voi is not None and spoilt is None:
        return replace(grayscale, voi=voi), ()
    renewed = Range(*_percentiles(modality, _counts(codes, len(modality)) * ~padding))
    several = np.count_nonzero(sampled) >= _LEVELS and _unseen(renewed(modality), sampled) is None
    if voi is not None and not several:
        return replace(grayscale, voi=voi), ()
    warnings = (_renewed(grayscale, spoilt),) if spoilt is not None else ()
    return replace(grayscale, voi=renewed), warnings


def _levels(grayscale: Grayscale) -> tuple[np.ndarray, np.ndarray]:
    """By code: its modality value, and whether it is padding."""
    levels = 1 << grayscale.bits
    values = np.arange(levels)
    if grayscale.signed:
        values[levels // 2 :] -= levels
    padding = np.zeros(levels, bool)
    if grayscale.padding is not None:
        padding = (values >= grayscale.padding[0]) & (values <= grayscale.padding[1])
    return _modality(values.astype(np.float64), grayscale), padding


def _shown(voi: Voi, modality: np.ndarray) -> np.ndarray:
    """Modality values -> [0, 1], before inversion."""
    if isinstance(voi, LookupTable):
        return (voi(modality) / voi.top).clip(0, 1)
    return voi(modality)


def _sampled(codes: np.ndarray) -> np.ndarray:
    step = max(1, round((codes.size / _SAMPLED) ** 0.5))
    return codes[::step, ::step]


def _unseen(shown: np.ndarray, counts: np.ndarray) -> str | None:
    """What an image whose values `shown` occur `counts` times is, if nothing can be seen on it."""
    if not counts.any():
        return None
    order = np.argsort(shown, kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    low, high = (shown[order[np.searchsorted(share, limit)]] for limit in (0.01, 0.99))
    if high - low < _SPREAD:
        level = "black" if high < 0.5 else "white" if low > 0.5 else "one gray"
        return f"nearly {level} (values from {low:.2f} to {high:.2f})"
    between = counts[(shown > 0.02) & (shown < 0.98)].sum() / counts.sum()
    if between < _BETWEEN:
        return f"black and white (only {between:.1%} of it is gray)"
    return None


def _renewed(grayscale: Grayscale, spoilt: str) -> ImageWarning:
    cause = {LookupTable: "VOILUTSequence", Window: "WindowCenter and WindowWidth"}
    source = cause.get(type(grayscale.voi), "The whole range of its values")
    return ImageWarning(
        "display",
        f"{source} would show the image {spoilt}: it was windowed from its 0.5th to its 99.5th "
        "percentile instead.",
    )


def _modality(values: np.ndarray, grayscale: Grayscale) -> np.ndarray:
    if grayscale.modality_lut is not None:
        return grayscale.modality_lut(values)
    return values * grayscale.slope + grayscale.intercept


def _percentiles(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile of `values` occurring `counts` times each."""
    order = np.flatnonzero(counts)
    if not len(order):
        return 0.0, 0.0
    order = order[np.argsort(values[order], kind="stable")]
    share = np.cumsum(counts[order]) / counts.sum()
    low, high = (values[order[np.searchsorted(share, limit)]] for limit in (0.005, 0.995))
    if low == high:
        low, high = values[order[0]], values[order[-1]]
    return float(low), float(high)


def _counts(codes: np.ndarray, levels: int) -> np.ndarray:
    flat = codes.reshape(-1)
    blocks = range(0, flat.size, _BLOCK)
    counts = np.zeros(levels, np.int64)
    for start in blocks:
        counts += np.bincount(flat[start : start + _BLOCK], minlength=levels)
    return counts


def _looked_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    flat = codes.reshape(-1)
    shown = np.empty(flat.size, np.float32)
    for start in range(0, flat.size, _BLOCK):
        # Codes are below the table's length; "clip" only spares numpy a buffer.
        place = slice(start, start + _BLOCK)
        np.take(table, flat[place], out=shown[place], mode="clip")
    return shown.reshape(codes.shape)
