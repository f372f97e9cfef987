"""Patients in folds, for what must be known of images that no weight has learned from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.manifest import Study, read_studies
from model.errors import ConfigError

__all__ = ["Fold"]


@dataclass(frozen=True)
class Fold:
    """One of several parts of the patients of a prepared folder, but for those of its test split.

    A patient's fold follows from the name alone, so that it is the same in every run.
    """

    number: int
    """From 0."""
    count: int

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """ "0/3", the first of three.

        Raises:
            ConfigError: another text.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise ConfigError(f"fold = {text!r}: write number/count, such as '0/3'")
        fold = cls(int(number), int(count))
        if not fold.number < fold.count or fold.count < 2:
            raise ConfigError(f"fold = {text!r}: the number must be below the count, from 0")
        return fold

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, study: Study) -> bool:
        """Whether it is of this fold's patients: never of the test split."""
        digest = hashlib.sha256((study.patient or study.id).encode()).hexdigest()
        return study.split != "test" and int(digest, 16) % self.count == self.number

    def read(self, folder: Path, split: str) -> Iterator[Study]:
        """The studies of a prepared folder in a split of its own: this fold's patients are
        "validate", those of the other folds "train"."""
        for study in read_studies(folder):
            own = "validate" if self.holds(study) else "train"
            if split == (study.split if study.split == "test" else own):
                yield study
