"""What `crossray grounding` found: values that the table and the JSON are made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from training import files
from training.bootstrap import Score

__all__ = ["Grounding", "Scored", "write_json"]

Scored = Mapping[str, Mapping[str, Score]]
"""Group of cases -> measure -> score; see map_scores.Measured.scores."""


@dataclass(frozen=True)
class Grounding:
    """What one run of `crossray grounding` found."""

    model: str
    sha256: str
    """Of the weights."""
    data_sha256: str | None
    """Of the prepared folder's manifest; None for a box file."""
    studies: int
    methods: Mapping[str, Scored]
    """Words of the reference reports, or the phrases of a box file."""
    heads: Mapping[str, tuple[str, ...]]
    """Which heads were chosen on each half of the studies."""
    own_report: Scored | None = None
    """Words of the model's own reports, for the maps that CrossRay shows."""
    occlusion: Scored | None = None
    words: Mapping[str, Score] | None = None
    denials: Mapping[str, Score] | None = None
    """Of phantoms prepared with places; see denials.DENIALS."""
    missing: tuple[str, ...] = ()
    """Images of a box file that were not there."""


def write_json(grounding: Grounding, path: Path) -> None:
    """Write every number as {"value", "low", "high", "n"} under stable names.

    Raises:
        DataError: it cannot be written.
    """
    answer = asdict(grounding)
    answer["model"] = {"name": answer.pop("model"), "sha256": answer.pop("sha256")}
    files.write_json(path, answer)
