"""Radiographs of which a reader labeled some findings (data_prep/reader_labels.py): no reports."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.importing.split import split_by_hash
from data_prep.reader_labels import ReaderLabels
from data_prep.source import SourceImage, SourceStudy

__all__ = ["studies"]

SHARES = {"train": 3, "validate": 1}
"""Few images: many of them are needed to calibrate on, and those that measure have a file of their
own."""


def studies(labels: ReaderLabels, seed: int) -> Iterator[SourceStudy]:
    """One study an image, in the file's order, three quarters of the patients to train on.

    Args:
        seed: of the split by hash.
    """
    for path in labels.images:
        study = SourceStudy(
            id=Path(path).stem,
            origin=f"image {path!r}",
            images=(SourceImage(Path(path)),),
            patient=labels.patients.get(path),
            labels=labels.of(path),
            reported=False,
        )
        yield replace(study, split=split_by_hash(study, seed, SHARES))
