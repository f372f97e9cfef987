"""A hospital's own folder: DICOM, PNG or JPEG of any depth, and reports in a table or in texts.

What belongs together: DICOM files by StudyInstanceUID; other images by their folder, unless a
image lies in SRC itself, has a text of its own name, or is named by the table: then it is a study
by itself. Every identity is hashed, so that neither ids nor patients' numbers reach OUT.

Files and table are gathered in a temporary database on disk: memory does not grow with them.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.datasets.report_table import ReportColumns, ReportTable, form, short_hash
from data_prep.files import IMAGE_ENDINGS, files_below
from data_prep.report_text import sections
from data_prep.source import SourceImage, SourceStudy
from model.errors import DataError
from model.imaging.header import HEAD_BYTES, header_values

__all__ = ["FolderReader"]

HEADER = ("StudyInstanceUID", "AccessionNumber", "PatientID", "StudyDate", "StudyTime")
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
MAX_TEXT_BYTES = 2**20
FILES = """CREATE TABLE files (
    path BLOB PRIMARY KEY, folder BLOB, study TEXT, uid TEXT, accession TEXT, patient TEXT,
    time TEXT, loose TEXT
) WITHOUT ROWID"""
BY_LOOSE = "CREATE INDEX by_loose_path ON files (loose)"
BY_FOLDER = "CREATE INDEX by_folder ON files (folder, study)"
SHARED = "SELECT min(study) < max(study) FROM files WHERE folder = ?"
KEYS = (
    *("StudyInstanceUID", "accession number", "file name", "folder name"),
    "file name in another case or with its folder",
)
"""What a table may call a study by, in the order they are tried."""


@dataclass(frozen=True)
class _File:
    path: Path
    study: str
    uid: str
    accession: str
    patient: str
    time: str

    def called(self, alone: bool = True) -> Iterator[tuple[str, str]]:
        """(kind, key) of everything that a table may call this file's study.

        Args:
            alone: no other study has files in its folder.
        """
        yield from zip(KEYS, (self.uid, self.accession), strict=False)
        yield from ((KEYS[2], name) for name in _names(self.path))
        if alone:
            yield KEYS[3], _printable(self.path.parent)


class FolderReader:
    """Reads one folder once; afterwards `matched` counts how studies and reports found together."""

    def __init__(
        self, source: Path, table: Path | None = None, columns: ReportColumns | None = None
    ) -> None:
        """
        Args:
            table: CSV file with a report a study; without it reports are .txt files beside the
                images, with the name of an image or the only one of their folder.
            columns: what the table calls what; needed with it.
        """
        self.source = source
        self.matched: Counter[str] = Counter()
        """Studies by what their report was found by: one of KEYS, or "text file"."""
        self._table = (
            None
            if table is None
            else ReportTable(table, columns or ReportColumns(), source.resolve().name)
        )

    def studies(self) -> Iterator[SourceStudy]:
        """Every study of images, and every row of the table without images.

        Raises:
            DataError: no folder, no image in it, not one report that belongs to an image, or a
                table or a text that cannot be read.
            ConfigError: columns that cannot be.
        """
        # A name of "" is a database of its own on disk that goes when it is closed.
        with closing(sqlite3.connect("", isolation_level=None)) as database:
            if self._table is not None:
                self._table.load(database)
            self._gather(database)
            rows = database.execute(
                """SELECT path, study, uid, accession, patient, time FROM files
                ORDER BY study, path"""
            )
            files: list[_File] = []
            for row in rows:
                file = _File(Path(os.fsdecode(row[0])), *row[1:])
                if files and files[0].study != file.study:
                    yield self._study(files, database)
                    files = []
                files.append(file)
            yield self._study(files, database)
            if not self.matched:
                raise self._nothing_matched(files[0])
            if self._table is not None:
                yield from self._table.unused()

    def _gather(self, database: sqlite3.Connection) -> None:
        database.execute(FILES)
        database.execute(BY_FOLDER)
        database.execute(BY_LOOSE)
        database.execute("BEGIN")
        found = False
        for path in files_below(self.source):
            head = _head(self.source / path)
            if not _is_image(path, head):
                continue
            found = True
            values = header_values(head, HEADER)
            uid, accession, patient = (values.get(word, "") for word in HEADER[:3])
            # A time of day without its date would sort before every date.
            date = values.get("StudyDate", "")
            time = date + values.get("StudyTime", "") if date else ""
            study = f"study {uid}" if uid else self._identity(path)
            folder = os.fsencode(path.parent)
            row = (os.fsencode(path), folder, short_hash(study), uid, accession, patient, time)
            database.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _loose(path))
            )
        database.execute("COMMIT")
        if not found:
            raise DataError(
                f"no DICOM, PNG or JPEG file is below {str(self.source)!r}: name the folder that "
                "holds the images"
            )

    def _identity(self, path: Path) -> str:
        """What an image without a StudyInstanceUID is known by."""
        table = self._table
        named = table is not None and any(
            table.has(name) or table.like(name) for name in _names(path)
        )
        if named or path.parent == Path() or (self.source / path).with_suffix(".txt").is_file():
            return f"file {_printable(path)}"
        return f"folder {_printable(path.parent)}"

    def _study(self, files: list[_File], database: sqlite3.Connection) -> SourceStudy:
        """One study with its report. What names a folder speaks of the only study in it."""
        folders = dict.fromkeys(file.path.parent for file in files)
        own = {
            folder
            for folder in folders
            if not database.execute(SHARED, (os.fsencode(folder),)).fetchone()[0]
        }
        first = files[0]
        patient = next((f"patient {file.patient}" for file in files if file.patient), None)
        bare = SourceStudy(
            id=first.study,
            origin=_printable(first.path),
            images=tuple(SourceImage(file.path) for file in files),
            patient=None if patient is None else short_hash(patient),
            time=max(file.time for file in files),
        )
        if self._table is None:
            return self._with_text(bare, own)
        called = {pair for file in files for pair in file.called(file.path.parent in own)}
        for file in files:
            if _is_only(file.path, database):
                called |= {(KEYS[4], self._table.like(name)) for name in _names(file.path)}
        tried = sorted(
            (pair for pair in called if pair[1]),
            key=lambda pair: (KEYS.index(pair[0]), pair[1]),
        )
        for kind, key in tried:
            study = self._table.describe(bare, key)
            if study is not None:
                self.matched[kind] += 1
                return study
        return bare

    def _with_text(self, bare: SourceStudy, own: Collection[Path]) -> SourceStudy:
        path = _text_beside([image.path for image in bare.images], own, self.source)
        if path is None:
            return bare
        self.matched["text file"] += 1
        parts = sections(_read_text(self.source, path))
        return replace(bare, origin=_printable(path), **vars(parts))

    def _nothing_matched(self, file: _File) -> DataError:
        if self._table is None:
            return DataError(
                f"no .txt file lies beside the images below {str(self.source)!r}: name a table "
                "with --reports, or put each study's report into its folder"
            )
        forms = ", ".join(f"{kind} {form(key)!r}" for kind, key in file.called() if key)
        return DataError(
            f"no row of {self._table.path.name} belongs to an image: its column "
            f"{self._table.columns.study!r} has values such as {form(self._table.example())!r}, "
            f"while an image has {forms} (9 is any digit, a any letter): name another column with "
            "--study-column"
        )


def _head(path: Path) -> bytes:
    """The beginning of a file; nothing of what cannot be read, which reading its image reports."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _is_image(path: Path, head: bytes) -> bool:
    """By content; what is called an image and is none is listed later as a bad one."""
    named = path.suffix.lower() in IMAGE_ENDINGS
    return named or head.startswith(SIGNATURES) or head[128:132] == b"DICM"


def _names(path: Path) -> list[str]:
    """What a table may call a file by: its name relative to SRC, with and without the ending."""
    return [_printable(path), _printable(path.with_suffix(""))]


def _loose(path: Path) -> str:
    return _printable(path.with_suffix("")).casefold()


def _is_only(path: Path, database: sqlite3.Connection) -> bool:
    """Whether no other file has this name but for its ending and the case of its letters."""
    query = "SELECT COUNT(*) FROM files WHERE loose = ?"
    return bool(database.execute(query, (_loose(path),)).fetchone()[0] < 2)


def _printable(path: Path) -> str:
    """With forward slashes; what is not UTF-8 is escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _text_beside(images: Sequence[Path], own: Collection[Path], source: Path) -> Path | None:
    """The text of an image's own name, else the only one of a folder that is theirs alone."""
    for path in images:
        if (source / path).with_suffix(".txt").is_file():
            return path.with_suffix(".txt")
    for folder in (f for f in dict.fromkeys(path.parent for path in images) if f in own):
        texts = list((source / folder).glob("*.txt"))
        if len(texts) == 1 and folder != Path():
            return texts[0].relative_to(source)
    return None


def _read_text(source: Path, path: Path) -> str:
    try:
        with (source / path).open("rb") as file:
            text = file.read(MAX_TEXT_BYTES + 1)
        if len(text) > MAX_TEXT_BYTES:
            raise DataError(f"{_printable(path)} has more than {MAX_TEXT_BYTES} bytes: no report")
        return text.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{_printable(path)} cannot be read: {error}; save it as UTF-8") from error
