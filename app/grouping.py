"""Which files of a folder belong to one study, without decoding a picture.

A DICOM file's study is told by its StudyInstanceUID, any other file is a study of its own. UIDs are
only ever hashed: they may be `../../etc/x`, and they identify a patient.
"""

import hashlib
import os
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from model.errors import DataError

__all__ = ["Source", "find_files", "read_source", "relative_name"]

HEAD_BYTES = 2**20
"""How far into a file its StudyInstanceUID is looked for, also once inflated: a hostile header can
cost no more than this, and a real one is a few kilobytes."""
STUDY_INSTANCE_UID = 0x0020000D
META_GROUP = 0x0002
KEY_LETTERS = 16


@dataclass(frozen=True)
class Source:
    """One file of the input folder."""

    path: Path
    name: str
    """Relative to the input folder, with forward slashes and a leading "./"."""
    sha256: str
    """Of the file's bytes."""
    study: str
    """Hash that the files of one study share; fit for a folder's name."""


def find_files(folder: Path, without: Path | None = None) -> tuple[list[Path], list[OSError]]:
    """Every regular file below a folder in a settled order; links to folders are not followed.

    Args:
        without: a folder that is left out, with all below it.

    Returns:
        The files, and for each folder that may not be listed the error that says so.

    Raises:
        DataError: no such folder.
    """
    if not folder.is_dir():
        what = "is a file: give it to `crossray report`" if folder.exists() else "is not there"
        raise DataError(f"the input folder {str(folder)!r} {what}")
    hidden = without.resolve() if without is not None else None
    found: list[Path] = []
    unlisted: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=unlisted.append):
        here = Path(root)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != hidden)
        found += (path for name in sorted(files) if _is_regular(path := here / name))
    return found, unlisted


def read_source(path: Path, folder: Path) -> Source:
    """One file's content hash and study.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        digest = hashlib.sha256(head)
        while chunk := file.read(2**20):
            digest.update(chunk)
    uid = _study_uid(head)
    identity = f"file {digest.hexdigest()}" if uid is None else f"study {uid}"
    return Source(
        path=path,
        name=relative_name(path, folder),
        sha256=digest.hexdigest(),
        study=hashlib.sha256(identity.encode()).hexdigest()[:KEY_LETTERS],
    )


def relative_name(path: Path, folder: Path) -> str:
    """How a file is called in summaries: never beginning with what a spreadsheet would run."""
    return f"./{path.relative_to(folder).as_posix()}"


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # opening it will say what is wrong


def _study_uid(head: bytes) -> str | None:
    """StudyInstanceUID, or None for what is not DICOM or says no study."""
    start = 132 if head[128:132] == b"DICM" else 0
    if head[start : start + 2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom quotes the value that it finds odd
            value = _read_uid(BytesIO(head[start:]))
    except Exception:
        # pydicom raises nearly anything on a corrupt header, RecursionError too. The file is then
        # a study of its own, and reading its picture tells what is wrong with it.
        return None
    return str(value).strip(" \0") or None


def _read_uid(stream: BytesIO) -> object:
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP)
    syntax = meta.get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(), HEAD_BYTES)
        stream = BytesIO(inflated)
    little = syntax != ExplicitVRBigEndian
    if syntax is None:
        first = stream.getvalue()[stream.tell() : stream.tell() + 6]
        little = first[:1] != b"\x00"
        implicit = not first[4:6].isupper()
    else:
        implicit = syntax == ImplicitVRLittleEndian
    found = read_dataset(
        stream,
        implicit,
        little,
        stop_when=lambda tag, *_: tag > STUDY_INSTANCE_UID,
        specific_tags=[STUDY_INSTANCE_UID],
    )
    return found.get("StudyInstanceUID", "")
