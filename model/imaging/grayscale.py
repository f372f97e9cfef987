"""Stored values -> display values in the DICOM standard's order, as one table.

A radiograph has at most 65,536 different stored values, so the whole chain (modality, values of
interest, presentation) is worked out once a value, in float64, and looked up once a pixel. See
DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT and windows) and C.7.6.3.1.2 (photometric).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Grayscale", "LookupTable", "Window", "display"]

_BLOCK = 1 << 20
"""Pixels looked up at a time: numpy turns indices into 8 bytes each."""


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI LUT: entries from `first` on, clamped at both ends."""

    first: int
    entries: np.ndarray
    bits: int
    """Depth of the entries as the descriptor states it."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        index = np.floor(values) - self.first
        return self.entries[index.clip(0, len(self.entries) - 1).astype(np.intp)].astype(np.float64)

    @property
    def top(self) -> float:
        """The largest output the table may give; entries above the stated depth count."""
        return float(max((1 << self.bits) - 1, self.entries.max()))


@dataclass(frozen=True)
class Window:
    """A window of a function and width that DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3 allow."""

    center: float
    width: float
    function: str = "LINEAR"
    """LINEAR (width >= 1), LINEAR_EXACT or SIGMOID (width > 0)."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Modality values -> [0, 1]."""
        if self.function == "SIGMOID":
            # Beyond +-700 the exponential overflows, and the result is 0 or 1 anyway.
            slope = (-4 * (values - self.center) / self.width).clip(-700, 700)
            return 1 / (1 + np.exp(slope))
        if self.function == "LINEAR_EXACT":
            return ((values - self.center) / self.width + 0.5).clip(0, 1)
        offset = values - (self.center - 0.5)
        if self.width == 1:
            return (offset > 0).astype(np.float64)
        return (offset / (self.width - 1) + 0.5).clip(0, 1)


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
    voi: LookupTable | Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None
    """Smallest and largest stored value that mark pixels outside the image."""


def display(codes: np.ndarray, grayscale: Grayscale) -> np.ndarray:
    """Stored values -> float32 (height, width) in [0, 1], inverted where the file says so.

    Without a VOI LUT or window, values of 8 bits or fewer are taken as ready for display, over
    their whole range; deeper ones are shown from their 0.5th to their 99.5th percentile (burnt-in
    labels are brighter than any bone), or from least to greatest where these two coincide. A
    image of one single value is black. Padding is black and counts in no percentile.

    Args:
        codes: unsigned integers (height, width), each the BitsStored bits of a pixel; where the
            image is signed, in two's complement.
        grayscale: what the header says of them.
    """
    levels = 1 << grayscale.bits
    values = np.arange(levels)
    if grayscale.signed:
        values[levels // 2 :] -= levels
    padding = np.zeros(levels, bool)
    if grayscale.padding is not None:
        padding = (values >= grayscale.padding[0]) & (values <= grayscale.padding[1])
    modality = _modality(values.astype(np.float64), grayscale)
    match grayscale.voi:
        case Window() as window:
            shown = window(modality)
        case LookupTable() as table:
            shown = (table(modality) / table.top).clip(0, 1)
        case None if grayscale.bits <= 8:
            shown = _between(modality, modality.min(), modality.max())
        case None:
            shown = _between(modality, *_percentiles(modality, _counts(codes, levels) * ~padding))
    if grayscale.inverted:
        shown = 1 - shown
    shown[padding] = 0
    return _looked_up(shown.astype(np.float32), codes)


def _modality(values: np.ndarray, grayscale: Grayscale) -> np.ndarray:
    if grayscale.modality_lut is not None:
        return grayscale.modality_lut(values)
    return values * grayscale.slope + grayscale.intercept


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros_like(values)
    return ((values - low) / (high - low)).clip(0, 1)


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
        shown[start : start + _BLOCK] = table[flat[start : start + _BLOCK]]
    return shown.reshape(codes.shape)
