"""MIMIC-CXR (Johnson et al. 2019, Scientific Data 6, 317) in both of its releases on PhysioNet.

    MIMIC-CXR-JPG    files/p10/p10000032/s50414267/<dicom_id>.jpg
    MIMIC-CXR        the same tree with .dcm
    for both         mimic-cxr-2.0.0-split.csv.gz, mimic-cxr-2.0.0-metadata.csv.gz and, where labels
                     are wanted, mimic-cxr-2.0.0-chexpert.csv.gz (or -negbio), all of MIMIC-CXR-JPG
    reports          files/p10/p10000032/s50414267.txt: mimic-cxr-reports.zip of MIMIC-CXR, unpacked

Tables may be gzipped or not, and of another version. They are joined in a temporary database on
disk, and studies are streamed from it: memory does not grow with the data set.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path

from data_prep.report_text import Sections, sections
from data_prep.source import SourceImage, SourceStudy
from data_prep.tables import read_rows
from model.errors import DataError
from model.imaging.views import view_of_words

__all__ = ["studies"]

SPLIT = ("dicom_id", "study_id", "subject_id", "split")
METADATA = ("dicom_id", "ViewPosition", "StudyDate", "StudyTime")
LABELLERS = ("chexpert", "negbio")
LABELS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum"),
    *("Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion"),
    *("Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"),
)
"""CheXpert's fourteen (Irvin et al. 2019)."""
ENDINGS = (".jpg", ".dcm")
IDS = {"dicom_id": r"[0-9A-Za-z-]{1,64}", "study_id": r"\d{1,12}", "subject_id": r"\d{3,12}"}
"""They become parts of paths, so nothing else may be in them."""
FIRST = 1000
"""Of so many studies one image and one report must be there, or none is."""
MAX_REPORT_BYTES = 2**20
TABLES = """
CREATE TABLE images (
    dicom TEXT PRIMARY KEY, study TEXT, subject TEXT, split TEXT, number INTEGER
) WITHOUT ROWID;
CREATE TABLE metadata (dicom TEXT PRIMARY KEY, view TEXT, time TEXT) WITHOUT ROWID;
CREATE TABLE labels (study TEXT, label TEXT, value INTEGER, PRIMARY KEY (study, label))
    WITHOUT ROWID;
"""
Row = tuple[str, str, str, str, str | None, str]
"""(study, subject, split, dicom, view, time) of one image."""


def studies(source: Path, reports: Path | None = None) -> Iterator[SourceStudy]:
    """The data set's studies by subject and study, with the official split.

    Args:
        source: the folder that holds files/ and the tables.
        reports: where mimic-cxr-reports.zip was unpacked; `source` if not given.

    Raises:
        DataError: a table or a column is missing, tables contradict each other or put a subject in
            two splits, no image or no report is there, more than half of the reports are missing.
    """
    split = _table(source, "split", needed=True)
    metadata = _table(source, "metadata", needed=True)
    # A name of "" is a database of its own on disk that goes when it is closed.
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        try:
            database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA temp_store=FILE; {TABLES}")
            _load_images(database, split)
            _load_metadata(database, metadata)
            _load_labels(database, source)
            _check(database, split.name, metadata.name)
            yield from _stream(database, source, reports or source)
        except sqlite3.OperationalError as error:
            raise DataError(
                f"the tables cannot be joined on disk ({error}): they need about 300 bytes a "
                "image; set TMPDIR to a folder with room"
            ) from error


def _table(source: Path, kind: str, needed: bool) -> Path:
    """The newest of mimic-cxr-*-KIND.csv, gzipped or not; one that is not there if not needed."""
    found = [
        path
        for path in source.glob(f"mimic-cxr-*-{kind}.csv*")
        if path.name.endswith((".csv", ".csv.gz"))
    ]
    if found:
        return max(found, key=lambda path: (path.name.removesuffix(".gz"), path.suffix == ".csv"))
    if needed:
        raise DataError(
            f"there is no mimic-cxr-2.0.0-{kind}.csv.gz in {str(source)!r}: PhysioNet has it in "
            "MIMIC-CXR-JPG, physionet.org/content/mimic-cxr-jpg. The DICOM release needs it too "
            "and does not bring it: lay it beside files/"
        )
    return source / f"mimic-cxr-2.0.0-{kind}.csv.gz"


def _load_images(database: sqlite3.Connection, path: Path) -> None:
    for number, (origin, row) in enumerate(read_rows(path, SPLIT)):
        for column, pattern in IDS.items():
            if not re.fullmatch(pattern, row[column], re.ASCII):
                raise DataError(f"{origin}: {row[column]!r} is no {column}; fetch the file again")
        values = (*(row[column] for column in SPLIT), number)
        _insert(database, "images", values, f"{origin} names a dicom_id a second time")


def _load_metadata(database: sqlite3.Connection, path: Path) -> None:
    for origin, row in read_rows(path, METADATA):
        clock, _, fraction = row["StudyTime"].partition(".")
        # Numbers in the table: 93015.5 is half past nine, before 213014.0, as text only with a 0.
        time = f"{row['StudyDate']} {clock:0>6}.{fraction}" if row["StudyDate"] else ""
        values = (row["dicom_id"], view_of_words(row["ViewPosition"]), time)
        _insert(database, "metadata", values, f"{origin} names a dicom_id a second time")


def _load_labels(database: sqlite3.Connection, source: Path) -> None:
    paths = [_table(source, labeller, needed=False) for labeller in LABELLERS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return
    for origin, row in read_rows(path, ("study_id", *LABELS)):
        for label in LABELS:
            if not row[label]:
                continue
            if row[label] not in {"1.0", "0.0", "-1.0", "1", "0", "-1"}:
                raise DataError(f"{origin}: {label} is {row[label]!r}, expected 1, 0, -1 or none")
            values = (row["study_id"], label, int(float(row[label])))
            _insert(database, "labels", values, f"{origin} names a study_id a second time")


def _insert(
    database: sqlite3.Connection, table: str, values: tuple[object, ...], again: str
) -> None:
    try:
        database.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(values))})", values)
    except sqlite3.IntegrityError as error:
        raise DataError(f"{again}: the file is damaged, fetch it again") from error


def _check(database: sqlite3.Connection, split: str, metadata: str) -> None:
    """Raises DataError where the tables contradict each other; quotes rows, not whose they are."""
    for whose, what in (("subject", "split"), ("study", "subject"), ("study", "split")):
        for first, second in database.execute(
            f"SELECT MIN(number) + 2, (SELECT MIN(number) + 2 FROM images b WHERE"
            f" b.{whose} = a.{whose} AND b.{what} != (SELECT {what} FROM images c WHERE"
            f" c.{whose} = a.{whose} ORDER BY number LIMIT 1)) FROM images a"
            f" GROUP BY {whose} HAVING MIN({what}) < MAX({what}) LIMIT 1"
        ):
            raise DataError(
                f"{split} rows {first} and {second} are of one {whose} but of two {what}s: a "
                "patient must be in one split only; fetch the official file again"
            )
    unknown, first = database.execute(
        "SELECT COUNT(*), MIN(number) + 2 FROM images LEFT JOIN metadata USING (dicom)"
        " WHERE metadata.dicom IS NULL"
    ).fetchone()
    if unknown:
        raise DataError(
            f"{unknown} images of {split}, first row {first}, have no row in {metadata}: take "
            "both files from the same release"
        )


def _stream(database: sqlite3.Connection, source: Path, reports: Path) -> Iterator[SourceStudy]:
    database.execute("CREATE INDEX in_order ON images (subject, study, number)")
    ending = _ending(database, source)
    folder = _report_folder(database, reports)
    named = missing = 0
    first = ""
    for rows in _grouped(database):
        study, subject, split = rows[0][:3]
        report = _report_path(subject, study)
        read = _read(folder / report)
        named += 1
        missing += read is None
        first = first or (report.as_posix() if read is None else "")
        parts = read or Sections("", "", "", "")
        labels = database.execute("SELECT label, value FROM labels WHERE study = ?", (study,))
        yield SourceStudy(
            id=study,
            origin=report.as_posix() + (", which is not there" if read is None else ""),
            images=tuple(
                SourceImage(_image_path(subject, study, dicom, ending), view)
                for _, _, _, dicom, view, _ in rows
            ),
            findings=parts.findings,
            impression=parts.impression,
            indication=parts.indication,
            comparison=parts.comparison,
            patient=subject,
            split=split,
            time=min(row[-1] for row in rows),
            labels=dict(labels) or None,
        )
    if 2 * missing > named:
        raise DataError(
            f"{missing} of {named} reports are not there, first {first!r}, looked for in "
            f"{str(folder)!r}: unpack mimic-cxr-reports.zip whole"
        )


def _grouped(database: sqlite3.Connection) -> Iterator[list[Row]]:
    """The rows of each study's images, by subject and study."""
    rows: Iterator[Row] = database.execute(
        "SELECT study, subject, split, dicom, view, time"
        " FROM images JOIN metadata USING (dicom) ORDER BY subject, study, number"
    )
    for _, group in groupby(rows, key=lambda row: row[:2]):
        yield list(group)


def _image_path(subject: str, study: str, dicom: str, ending: str) -> Path:
    return Path("files", f"p{subject[:2]}", f"p{subject}", f"s{study}", f"{dicom}{ending}")


def _report_path(subject: str, study: str) -> Path:
    return Path(f"p{subject[:2]}", f"p{subject}", f"s{study}.txt")


def _ending(database: sqlite3.Connection, source: Path) -> str:
    """Which release it is: the ending of the first image that is there."""
    rows = (row for group in islice(_grouped(database), FIRST) for row in group)
    looked = ""
    for study, subject, _, dicom, _, _ in rows:
        for ending in ENDINGS:
            path = _image_path(subject, study, dicom, ending)
            if (source / path).is_file():
                return ending
            looked = looked or path.as_posix()
    raise DataError(
        f"no image is there, looked for {looked!r} (or .dcm) and those of the next {FIRST} "
        f"studies in {str(source)!r}: name the folder that holds files/, of MIMIC-CXR-JPG or "
        "MIMIC-CXR; of a part of it keep only its rows in the split file"
    )


def _report_folder(database: sqlite3.Connection, reports: Path) -> Path:
    """The folder with p10/ ... p19/ of reports: `reports` itself, or below it."""
    folders = (reports / "files", reports, reports / "mimic-cxr-reports" / "files")
    looked = ""
    for rows in islice(_grouped(database), FIRST):
        path = _report_path(rows[0][1], rows[0][0])
        for folder in folders:
            if (folder / path).is_file():
                return folder
        looked = looked or (folders[0] / path).relative_to(reports).as_posix()
    raise DataError(
        f"no report is there, looked for {looked!r} and those of the next {FIRST} studies in "
        f"{str(reports)!r}: unpack mimic-cxr-reports.zip, which PhysioNet has in MIMIC-CXR "
        "(physionet.org/content/mimic-cxr), and name its folder with --reports"
    )


def _read(path: Path) -> Sections | None:
    """The sections of one report; None where it is not there."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_REPORT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > MAX_REPORT_BYTES:
        raise DataError(f"{path.name} has more than {MAX_REPORT_BYTES} bytes: no report is so long")
    try:
        return sections(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text ({error}): unpack it again") from error
