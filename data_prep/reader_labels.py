"""The findings that a reader labeled on images, such as the devices of a collection: a JSON file.

    {"findings": ["pacemaker", ...], "images": {"a.jpg": ["pacemaker"], "b.jpg": []},
     "uncertain": {"b.jpg": ["pacemaker"]}, "patients": {"a.jpg": "17", "b.jpg": "17"}}

`findings` are those that were looked for on every image, `images` those that each shows. Optional:
`uncertain`, those that the reader could not decide, and `patients`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

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


class _Stored(BaseModel):
    findings: list[str]
    images: dict[str, list[str]]
    uncertain: dict[str, list[str]] = {}
    patients: dict[str, str] = {}


def read_reader_labels(file: Path) -> ReaderLabels:
    """
    Raises:
        DataError: it cannot be read, holds something else, or names an unknown finding or image.
    """
    try:
        stored = _Stored.model_validate_json(file.read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{file.name!r} does not hold {FORM}") from error
    labels = ReaderLabels(stored.findings, stored.images, stored.uncertain, stored.patients)
    lists = (*labels.images.values(), *labels.uncertain.values())
    named = {name for names in lists for name in names}
    if unknown := sorted((named - set(labels.findings)) | (set(labels.findings) - set(FINDINGS))):
        raise DataError(
            f"{file.name!r} names {unknown[0]!r}: list it in its findings, which are of "
            f"{', '.join(FINDINGS)}"
        )
    if len(set(labels.findings)) < len(labels.findings):
        raise DataError(f"{file.name!r} lists a finding twice: {', '.join(labels.findings)}")
    for path, names in labels.uncertain.items():
        if both := set(names) & set(labels.images.get(path, ())):
            raise DataError(
                f"{file.name!r} has {both.pop()!r} of {path!r} both among its findings and among "
                "what is uncertain: leave one out"
            )
    if strange := sorted((set(labels.uncertain) | set(labels.patients)) - set(labels.images)):
        raise DataError(f"{file.name!r} speaks of {strange[0]!r}, which is none of its images")
    return labels
