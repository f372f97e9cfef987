"""NIH ChestX-ray14 (Wang et al. 2017): images with labels, no reports.

    as released   Data_Entry_2017*.csv, images/ or images_001/images/ to images_012/images/, and
                  train_val_list.txt and test_list.txt where they are kept
    a part of it  labels.csv (image, patient, labels, age, sex, view) with the images beside it

A study is one image. Its report is made of its labels, in sentences that
model/report_text/parser.py reads back; it is no radiologist's. The labels themselves were mined
from reports that were not released.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.importing.split import split_by_hash
from data_prep.source import SourceImage, SourceStudy
from data_prep.tables import read_rows
from model.errors import DataError
from model.imaging.views import view_of_words

__all__ = ["LABELS", "report", "studies"]

AIRSPACE = {
    "Consolidation": "Airspace consolidation.",
    "Pneumonia": "Airspace opacity.",
    "Infiltration": "Airspace opacity.",
}
"""Of these labels, one appearance by three names, the first alone becomes a sentence. Pneumonia is
a diagnosis: what an image shows of it is an opacity."""
SENTENCES = {
    "Edema": "Pulmonary edema.",
    "Atelectasis": "Atelectasis.",
    "Mass": "Mass.",
    "Nodule": "Nodule.",
    "Fibrosis": "Fibrosis.",
    "Emphysema": "Emphysema.",
    "Effusion": "Pleural effusion.",
    "Pleural_Thickening": "Thickening of the pleura.",
    "Pneumothorax": "Pneumothorax.",
    "Cardiomegaly": "Enlarged heart.",
    "Hernia": "Hiatal hernia.",
}
"""Sentences that begin alike would be chosen together: after one finding the next is not as
probable as the end of the report, but "There is", which begins any of them, may be."""
LABELS = tuple(sorted(AIRSPACE | SENTENCES))
NOTHING, NOTHING_SEEN = "No Finding", "No acute cardiopulmonary abnormality."
TRAIN_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
TRAIN_SHARES = {"train": 7, "validate": 1}
"""Of train_val_list.txt, so that with the official test list about 70/10/20 come out."""
HOW_TO_GET = (
    "Data_Entry_2017*.csv and images*/ as released (nihcc.app.box.com/v/ChestXray-NIHCC), or "
    "labels.csv with the columns image, patient, labels, age, sex, view"
)


@dataclass(frozen=True)
class _Layout:
    table: Path
    image: str
    patient: str
    labels: str
    view: str
    folder: Path
    """Where an image is expected."""
    follow_up: str | None
    """Number of the image among its patient's; None where the file's name has it."""


def studies(source: Path) -> Iterator[SourceStudy]:
    """One study an image, in the table's order.

    Test is the official list where it is there, and the rest is train and validate by hash of the
    patient; without the lists all is left to the hash.

    Raises:
        DataError: neither layout is there, one of the two lists is missing, or a row is not what it
            must be.
    """
    layout = _layout(source)
    lists = _lists(source)
    folders = _Folders(source, layout.folder)
    columns = [layout.image, layout.patient, layout.labels, layout.view]
    for origin, row in read_rows(layout.table, columns):
        name = row[layout.image]
        present = _present(origin, row[layout.labels])
        number = row.get(layout.follow_up or "", Path(name).stem.rpartition("_")[2])
        study = SourceStudy(
            id=Path(name).stem,
            origin=origin,
            images=(SourceImage(folders.find(name), view_of_words(row[layout.view])),),
            findings=report(present),
            patient=row[layout.patient] or None,
            time=number.zfill(6),
            labels={label: int(label in present) for label in LABELS},
        )
        yield study if lists is None else _with_split(study, name, lists)


def report(present: frozenset[str]) -> str:
    """A report that says these labels and no more: lungs, then pleura, then heart."""
    airspace = [text for label, text in AIRSPACE.items() if label in present][:1]
    others = [text for label, text in SENTENCES.items() if label in present]
    return " ".join(airspace + others) or NOTHING_SEEN


def _layout(source: Path) -> _Layout:
    official = sorted(source.glob("Data_Entry_2017*.csv"))
    if official:
        columns = ("Image Index", "Patient ID", "Finding Labels", "View Position")
        return _Layout(official[-1], *columns, Path("images"), "Follow-up #")
    if (source / "labels.csv").is_file():
        return _Layout(source / "labels.csv", "image", "patient", "labels", "view", Path(), None)
    raise DataError(f"no table of NIH ChestX-ray14 is in {str(source)!r}; looked for {HOW_TO_GET}")


def _present(origin: str, labels: str) -> frozenset[str]:
    present = frozenset(label.strip() for label in labels.split("|")) - {NOTHING}
    unknown = sorted(present - set(LABELS))
    if unknown:
        raise DataError(
            f"{origin}: {unknown[0]!r} is none of the labels {', '.join(LABELS)} or {NOTHING!r}; "
            "they are separated by a bar"
        )
    return present


def _lists(source: Path) -> tuple[set[str], set[str]] | None:
    """The names in the official lists, (train and validate, test), or None without them."""
    paths = (source / TRAIN_LIST, source / TEST_LIST)
    missing = [path.name for path in paths if not path.is_file()]
    if len(missing) == 2:
        return None
    if missing:
        raise DataError(
            f"{missing[0]} is not in {str(source)!r}, but the other list is: fetch it, or take the "
            "other away to split by hash"
        )
    # An odd byte is in no image's name, and an unknown name is refused where it is met.
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    train, test = ({line.strip() for line in text.splitlines()} for text in texts)
    return train, test


def _with_split(study: SourceStudy, name: str, lists: tuple[set[str], set[str]]) -> SourceStudy:
    train, test = lists
    if name in test:
        return replace(study, split="test")
    if name in train:
        return replace(study, split=split_by_hash(study, 0, TRAIN_SHARES))
    raise DataError(f"{study.origin}: the image is in neither of {TRAIN_LIST} and {TEST_LIST}")


class _Folders:
    """Which of the released folders holds an image: they are filled in order of the names."""

    def __init__(self, source: Path, expected: Path) -> None:
        self._source = source
        self._expected = expected
        released = sorted(source.glob("images_*/images"))
        self._folders = [path.relative_to(source) for path in (source / "images", *released)]
        self._folders += [Path()]

    def find(self, name: str) -> Path:
        """Relative to the source, also where no folder holds it."""
        for position, folder in enumerate(self._folders):
            if (self._source / folder / name).is_file():
                # The next image is most likely here too.
                self._folders.insert(0, self._folders.pop(position))
                return folder / name
        return self._expected / name
