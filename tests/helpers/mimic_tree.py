"""Folders of the shape of MIMIC-CXR, of tiny images and made-up reports."""

import csv
import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from dicom_files import dataset, encoded

HEADERS = {
    "split": ("dicom_id", "study_id", "subject_id", "split"),
    "metadata": (
        *("dicom_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns"),
        *("StudyDate", "StudyTime"),
    ),
    "chexpert": (
        *("subject_id", "study_id", "Atelectasis", "Cardiomegaly", "Consolidation", "Edema"),
        *("Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity", "No Finding"),
        *("Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
    ),
}
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old with cough.

 COMPARISON:  ___.

 FINDINGS:

 There is a small left pleural effusion.  Number {number} of
 this series.  Dr. ___ was told.

 IMPRESSION:

 Small left pleural effusion.
"""


def write_table(folder: Path, kind: str, rows: Iterable[Sequence[object]], gzipped: bool) -> Path:
    """mimic-cxr-2.0.0-KIND.csv or .csv.gz."""
    path = folder / f"mimic-cxr-2.0.0-{kind}.csv{'.gz' if gzipped else ''}"
    opened = gzip.open if gzipped else open
    with opened(path, "wt", encoding="utf-8", newline="") as out:  # type: ignore[operator]
        writer = csv.writer(out)
        writer.writerow(HEADERS[kind])
        writer.writerows(rows)
    return path


def write_mimic(
    folder: Path,
    patients: int,
    ending: str = ".jpg",
    gzipped: bool = False,
    reports: Path | None = None,
) -> int:
    """Two studies a patient, the first of two images; returns the number of images.

    Of ten patients one is to validate and one to test. Reports lie in `reports`, or in `folder`.
    """
    tables: dict[str, list[Sequence[object]]] = {kind: [] for kind in HEADERS}
    contents = _images(ending)
    number = 0
    for patient in range(patients):
        subject = 10_000_000 + patient * 131 % 9_000_000
        split = {8: "validate", 9: "test"}.get(patient % 10, "train")
        for which, views in enumerate((("PA", "LATERAL"), ("AP",))):
            study = 50_000_000 + 2 * patient + which
            place = Path("files", f"p{subject}"[:3], f"p{subject}", f"s{study}")
            (folder / place).mkdir(parents=True)
            text = (reports or folder) / place.with_suffix(".txt")
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(REPORT.format(number=2 * patient + which))
            for view in views:
                dicom = f"{number:08x}-0a1b2c3d-{study:08x}"
                (folder / place / f"{dicom}{ending}").write_bytes(contents[number % len(contents)])
                tables["split"].append((dicom, study, subject, split))
                time = f"{93015.5 if which else 213014.0}"
                tables["metadata"].append((dicom, "CHEST", view, 64, 64, 21800506 + which, time))
                number += 1
            labels = ["", "", "", "0.0", *[""] * 5, "1.0", "", "", "-1.0", ""]
            tables["chexpert"].append((subject, study, *labels))
    for kind, rows in tables.items():
        write_table(folder, kind, rows, gzipped)
    return number


def _images(ending: str) -> list[bytes]:
    """A few small radiographs that are no radiographs."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (64, 64), dtype=np.uint8) for _ in range(7)]
    if ending == ".dcm":
        return [encoded(dataset(pixels)) for pixels in images]
    return [cv2.imencode(ending, pixels)[1].tobytes() for pixels in images]
