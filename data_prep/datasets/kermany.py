"""Radiographs of children, normal or with pneumonia (Kermany, Zhang, Goldbaum 2018, CC BY 4.0).

    labels.csv (image, patient, label, split, aspect) with the images beside it

`label` is "normal", "bacterial pneumonia" or "viral pneumonia". Images whose `aspect` is "squeezed"
were made square from wider ones; they are left out, since it is not known by how much. For
pretraining: children of one to five years say nothing of adults' scores.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.datasets.nih import LABELS, report
from data_prep.source import SourceImage, SourceStudy
from data_prep.tables import read_rows
from model.errors import DataError

__all__ = ["studies"]

PRESENT = {
    "normal": frozenset[str](),
    "bacterial pneumonia": frozenset({"Pneumonia"}),
    "viral pneumonia": frozenset({"Pneumonia"}),
}
ASPECTS = ("true", "squeezed")


def studies(source: Path) -> Iterator[SourceStudy]:
    """One study an image, in the table's order; patients are split by hash.

    Raises:
        DataError: no such table, or a row that is not what it must be.
    """
    columns = ["image", "patient", "label", "aspect"]
    for origin, row in read_rows(source / "labels.csv", columns):
        present = PRESENT.get(row["label"])
        if present is None or row["aspect"] not in ASPECTS:
            raise DataError(
                f"{origin}: label {row['label']!r} and aspect {row['aspect']!r}; known are "
                f"{', '.join(PRESENT)} and {', '.join(ASPECTS)}"
            )
        if row["aspect"] == "true":
            # A label of pneumonia does not deny other findings, "normal" does.
            denied = () if present else LABELS
            yield SourceStudy(
                id=Path(row["image"]).stem,
                origin=origin,
                images=(SourceImage(Path(row["image"]), "PA"),),
                findings=report(present),
                patient=row["patient"] or None,
                labels={**dict.fromkeys(denied, 0), **dict.fromkeys(sorted(present), 1)},
            )
