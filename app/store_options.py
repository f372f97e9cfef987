"""What one store keeps, where, and in which order the worklist shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from model.errors import ConfigError
from model.report_text.vocabulary import TERMS

__all__ = ["DEFAULT_WEIGHTS", "MALPOSITION", "StoreOptions", "parse_weights"]

MALPOSITION = "tube_malposition"
"""Not a finding of the vocabulary: a sentence that calls a tube or line out of place."""
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "pneumothorax": 10.0,
        MALPOSITION: 9.0,
        "edema": 6.0,
        "opacity": 4.0,
        "pleural_effusion": 4.0,
        "nodule": 3.0,
        "rib_fracture": 3.0,
        "atelectasis": 2.0,
        "cardiomegaly": 2.0,
    }
)


@dataclass(frozen=True)
class StoreOptions:
    folder: Path
    """Of the image files, and of the database where no URL is given."""
    url: str | None = None
    """Of a PostgreSQL database."""
    quota_bytes: int = 0
    """Of the image files; 0: no limit."""
    retention_days: int = 0
    """After which the image files of signed and rejected studies go; 0: never."""
    keep_patient: bool = False
    """Keep the patient's name and number of DICOM files."""
    weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)
    """Of findings, for the worklist's order."""


def parse_weights(text: str) -> dict[str, float]:
    """ "pneumothorax=10,nodule=4" over the defaults.

    Raises:
        ConfigError: a finding without name, or a weight that is no number of at least 0.
    """
    known = {name for name, _ in TERMS} | {MALPOSITION}
    weights = dict(DEFAULT_WEIGHTS)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if name.strip() not in known or not 0 <= weight < 1e6:
            raise ConfigError(
                f"{part!r} is no weight of a finding: write NAME=NUMBER, with a name of "
                f"{', '.join(sorted(known))} and a number of at least 0"
            )
        weights[name.strip()] = weight
    return weights
