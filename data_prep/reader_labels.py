"""The findings that a reader labeled on images, such as the devices of a collection: a JSON file.

    {"findings": ["pacemaker", ...], "images": {"a.jpg": ["pacemaker"], "b.jpg": []},
     "uncertain": {"b.jpg": ["pacemaker"]}, "patients": {"a.jpg": "17", "b.jpg": "17"}}

`findings` are those that were looked for on every image, `images` those that each shows. Optional:
`uncertain`, those that the reader could not decide, and `patients`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.manifest import FINDINGS
from model.errors import DataError

__all__ = ["ReaderLabels", "read_reader_labels"]

FORM = '{"findings": [...], "images": {path: [...]}}'


@dataclass(frozen=True)
class ReaderLabels:
    findings: Sequence[str]
    """Of FINDINGS, those that were looked for on every image."""
    images: Mapping[str, Sequence[str]]
    """By path, the ones that are there."""
    uncertain: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By path, the ones that may be there."""
    patients: Mapping[str, str] = field(default_factory=dict)
    """By path; an image that is missing here is a patient of its own."""

    def of(self, path: str) -> dict[str, int]:
        """As Study.labels."""
        known = {name: int(name in self.images[path]) for name in self.findings}
        return known | dict.fromkeys(self.uncertain.get(path, ()), -1)


def read_reader_labels(file: Path) -> ReaderLabels:
    """
    Raises:
        DataError: it cannot be read, holds something else, or names an unknown finding or image.
    """
    try:
        stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        optional = {key: dict(stored.get(key, {})) for key in ("uncertain", "patients")}
        labels = ReaderLabels(list(stored["findings"]), dict(stored["images"]), **optional)
        spoken = (*labels.images.values(), *labels.uncertain.values())
        named = {name for own in spoken for name in own}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file.name!r} does not hold {FORM}") from error
    if unknown := sorted((named - set(labels.findings)) | (set(labels.findings) - set(FINDINGS))):
        raise DataError(
            f"{file.name!r} names {unknown[0]!r}: list it in its findings, which are of "
            f"{', '.join(FINDINGS)}"
        )
    if strange := sorted((set(labels.uncertain) | set(labels.patients)) - set(labels.images)):
        raise DataError(f"{file.name!r} speaks of {strange[0]!r}, which is none of its images")
    return labels
