"""Which files of a folder belong to one study, without decoding an image or reading a whole file.

A DICOM file's study is that of its StudyInstanceUID, any other file is a study of its own, known by
its name. UIDs are only ever hashed: they may be `../../etc/x`, and they identify a patient.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from app.batch.locations import Location, remote
from app.batch.rows import walk_key
from app.batch.sharding import Shard
from model.errors import DataError
from model.imaging.header import HEAD_BYTES, header_values, looks_like_dicom

__all__ = [
    "Source",
    "Study",
    "Unread",
    "find_files",
    "in_shard",
    "read_source",
    "relative_name",
    "study_of",
]

STUDY_UID = "StudyInstanceUID"
FIRST_BYTES = 2**14
"""Of a file: enough for the UID in nearly all."""
KEY_LETTERS = 16


@dataclass(frozen=True)
class Source:
    """One file of the input folder, or object below the input prefix."""

    path: Location
    name: str
    """Relative to the input folder, with forward slashes and a leading "./"."""
    stamp: str
    """Hash of its name, size and time of change: another file, another stamp."""
    study: str
    """Hash that the files of one study share; fit for a folder's name."""
    sha256: str = ""
    """Of the bytes that were decoded; empty before."""


@dataclass(frozen=True)
class Study:
    """The files of one study."""

    key: str
    """Source.study of all of them."""
    sources: tuple[Source, ...]
    indication: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its files."""
        return tuple(source.name for source in self.sources)

    @property
    def stamps(self) -> tuple[str, ...]:
        """Of its files, sorted."""
        return tuple(sorted(source.stamp for source in self.sources))

    @property
    def indication_sha256(self) -> str:
        """Empty where there is no indication."""
        return hashlib.sha256(self.indication.encode()).hexdigest() if self.indication else ""


@dataclass(frozen=True)
class Unread:
    """A file or folder that no report was made from."""

    name: str
    """Relative to the input folder."""
    status: str
    """"skipped" or "failed"."""
    reason: str


def find_files(
    folder: Location, unlisted: list[OSError], without: Location | None = None
) -> Iterator[Location]:
    """Every regular file below a folder in a settled order; links to folders are not followed.

    Args:
        unlisted: gets, for each folder that may not be listed, the error that says so.
        without: a folder that is left out, with all below it.

    Raises:
        DataError: no such folder.
        CrossRayError: object storage answers with an error.
    """
    if not isinstance(folder, Path):
        yield from _find_objects(folder, without)
        return
    if not folder.is_dir():
        what = "is a file: give it to `crossray report`" if folder.exists() else "is not there"
        raise DataError(f"the input folder {str(folder)!r} {what}")
    hidden = without.resolve() if isinstance(without, Path) else None
    for root, folders, files in os.walk(folder, onerror=unlisted.append):
        here = Path(root)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != hidden)
        yield from (path for name in sorted(files) if _is_regular(path := here / name))


def _find_objects(prefix: UPath, without: Location | None) -> Iterator[Location]:
    """Every object below a prefix, in the order in which a folder would be walked."""
    with remote(f"the input {str(prefix)!r} cannot be listed"):
        prefix.fs.invalidate_cache()
        below = prefix.path.rstrip("/") + "/"
        hidden = None if without is None else f"{str(without).rstrip('/')}/"
        names = (path[len(below) :] for path in prefix.fs.find(prefix.path) if path[-1:] != "/")
        ordered = sorted(filter(None, names), key=walk_key)
    for name in ordered:
        path = prefix / name
        if hidden is None or not str(path).startswith(hidden):
            yield path


def read_source(path: Location, folder: Location) -> Source:
    """One file's stamp and study, from its header alone.

    Raises:
        OSError: the file cannot be read.
    """
    name = relative_name(path, folder)
    uid = _study_uid(path)
    study = _key(f"file {name}") if uid is None else study_of(uid)
    return Source(path, name, _stamp(path, name), study)


def _stamp(path: Location, name: str) -> str:
    if isinstance(path, Path):
        status = path.stat()
        version = f"{status.st_size} {status.st_mtime_ns}"
    else:
        info = path.fs.info(path.path)
        changed = (info.get(key) for key in ("ETag", "etag", "LastModified", "updated", "mtime"))
        version = f"{info['size']} {next(filter(None, changed), '')}"
    return hashlib.sha256(f"{name}\0{version}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _study_uid(path: Location) -> str | None:
    with path.open("rb") as file:
        head = file.read(FIRST_BYTES)
        if not looks_like_dicom(head):
            return None
        uid = header_values(head, (STUDY_UID,)).get(STUDY_UID)
        if uid is None:
            head += file.read(HEAD_BYTES - len(head))
            uid = header_values(head, (STUDY_UID,)).get(STUDY_UID)
        return uid


def in_shard(name: str, shard: Shard | None) -> bool:
    """Whether a file that cannot be read falls to this part, by its name."""
    return shard is None or shard.holds(_key(f"name {name}"))


def study_of(uid: str) -> str:
    """`Source.study` of the files with this StudyInstanceUID."""
    return _key(f"study {uid}")


def _key(identity: str) -> str:
    # Names of files need not be UTF-8.
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:KEY_LETTERS]


def relative_name(path: Location, folder: Location) -> str:
    """How a file is called in summaries: never beginning with what a spreadsheet would run."""
    if isinstance(path, Path):
        return f"./{path.relative_to(str(folder)).as_posix()}"
    return f"./{str(path)[len(str(folder).rstrip('/')) :].lstrip('/')}"


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # opening it will say what is wrong
