"""What a data set's reader knows of its studies, before any image has been opened.

Every data set has one file here with one function that streams its studies;
data_prep/importing/run.py makes a prepared folder of them. A reader opens reports and tables,
never an image, unless its header alone says what belongs together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["IMPORTED", "DataSet", "SourceImage", "SourceStudy"]

IMPORTED = ("iu-xray", "mimic-cxr", "nih", "kermany", "labeled", "folder")
"""The "source" of prepared folders whose truth is not complete: what has no box may be there."""


@dataclass(frozen=True)
class SourceImage:
    """One image where the data set has it."""

    path: Path
    """Relative to the data set's folder."""
    view: str | None = None
    """"PA", "AP", "LATERAL", or None where the data set does not say: then the DICOM header may."""


@dataclass(frozen=True)
class SourceStudy:
    """One study where the data set has it."""

    id: str
    """Unique in the data set."""
    origin: str
    """Where it stands, for messages: "indiana_reports.csv row 12"."""
    images: tuple[SourceImage, ...]
    """In the data set's order."""
    findings: str = ""
    """The section as it stands, marks of de-identification and all; empty where there is none."""
    impression: str = ""
    indication: str = ""
    comparison: str = ""
    patient: str | None = None
    split: str | None = None
    """One of data_prep.study.SPLITS; None leaves it to data_prep/importing/split.py."""
    time: str = ""
    """When it was taken, as text that sorts by time among one patient's studies; empty where
    unknown."""
    labels: Mapping[str, int] | None = None
    """As Study.labels."""
    reported: bool = True
    """False: nothing but labels is known of it, and its report is prepared empty."""


@dataclass(frozen=True)
class DataSet:
    """A data set as its reader opens it."""

    settings: Mapping[str, Any]
    """"source", which one it is, and the reader's settings; they go into prepared.json."""
    folder: Path
    studies: Iterable[SourceStudy]
    """Read once, never held in memory."""
