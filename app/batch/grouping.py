"""Which files of a folder belong to one study, without decoding an image.

A DICOM file's study is that of its StudyInstanceUID, any other file is a study of its own. UIDs are
only ever hashed: they may be `../../etc/x`, and they identify a patient.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm
from upath import UPath

from app.batch.locations import Location, remote
from app.batch.sharding import Shard
from app.batch.summary import walk_order
from model.errors import DataError
from model.imaging.header import HEAD_BYTES, header_values

__all__ = [
    "Source",
    "Study",
    "Unread",
    "find_files",
    "grouped",
    "in_shard",
    "read_source",
    "relative_name",
    "study_of",
]

STUDY_UID = "StudyInstanceUID"
KEY_LETTERS = 16


@dataclass(frozen=True)
class Source:
    """One file of the input folder, or object below the input prefix."""

    path: Location
    name: str
    """Relative to the input folder, with forward slashes and a leading "./"."""
    sha256: str
    """Of the file's bytes."""
    study: str
    """Hash that the files of one study share; fit for a folder's name."""


@dataclass(frozen=True)
class Study:
    """The files of one study."""

    key: str
    """Source.study of all of them."""
    sources: tuple[Source, ...]
    """Copies of one file count once."""
    names: tuple[str, ...]
    """Of all files, the copies too."""
    indication: str = ""

    @property
    def sha256(self) -> tuple[str, ...]:
        """Of the sources, sorted."""
        return tuple(sorted(source.sha256 for source in self.sources))

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
    folder: Location, without: Location | None = None
) -> tuple[list[Location], list[OSError]]:
    """Every regular file below a folder in a settled order; links to folders are not followed.

    Args:
        without: a folder that is left out, with all below it.

    Returns:
        The files, and for each folder that may not be listed the error that says so.

    Raises:
        DataError: no such folder.
        CrossRayError: object storage answers with an error.
    """
    if not isinstance(folder, Path):
        return _find_objects(folder, without), []
    if not folder.is_dir():
        what = "is a file: give it to `crossray report`" if folder.exists() else "is not there"
        raise DataError(f"the input folder {str(folder)!r} {what}")
    hidden = without.resolve() if isinstance(without, Path) else None
    found: list[Location] = []
    unlisted: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=unlisted.append):
        here = Path(root)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != hidden)
        found += (path for name in sorted(files) if _is_regular(path := here / name))
    return found, unlisted


def _find_objects(prefix: UPath, without: Location | None) -> list[Location]:
    """Every object below a prefix, in the order in which a folder would be walked."""
    with remote(f"the input {str(prefix)!r} cannot be listed"):
        prefix.fs.invalidate_cache()
        below = prefix.path.rstrip("/") + "/"
        hidden = None if without is None else f"{str(without).rstrip('/')}/"
        names = (path[len(below) :] for path in prefix.fs.find(prefix.path) if path[-1:] != "/")
        found = [prefix / name for name in sorted((n for n in names if n), key=walk_order)]
        return [path for path in found if hidden is None or not str(path).startswith(hidden)]


def read_source(path: Location, folder: Location) -> Source:
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
    study = _key(f"file {digest.hexdigest()}") if uid is None else study_of(uid)
    name = relative_name(path, folder)
    return Source(path=path, name=name, sha256=digest.hexdigest(), study=study)


def _study_uid(head: bytes) -> str | None:
    return header_values(head, (STUDY_UID,)).get(STUDY_UID)


def in_shard(name: str, shard: Shard | None) -> bool:
    """Whether a file that cannot be read falls to this part, by its name."""
    return shard is None or shard.holds(_key(f"name {name}"))


def grouped(
    paths: Sequence[Location], folder: Location, shard: Shard | None = None
) -> tuple[list[Study], list[Unread]]:
    """Studies in the order of their first file, and the files that cannot be opened.

    Args:
        shard: the part of the batch that is wanted; None for all of it.
    """
    members: dict[str, list[Source]] = defaultdict(list)
    unread = []
    for path in tqdm(paths, desc="Looking", unit="file"):
        try:
            if shard is not None and _is_of_another(path, shard):
                continue
            source = read_source(path, folder)
        except OSError as error:
            reason = f"cannot be opened: {error.strerror}"
            name = relative_name(path, folder)
            if in_shard(name, shard):
                unread.append(Unread(name, "failed", reason))
        else:
            if shard is None or shard.holds(source.study):
                members[source.study].append(source)
    studies = []
    for key, sources in members.items():
        # The first by path stands for its copies.
        distinct = {source.sha256: source for source in reversed(sources)}
        once = tuple(source for source in sources if distinct[source.sha256] is source)
        studies.append(Study(key, once, tuple(source.name for source in sources)))
    return studies, unread


def _is_of_another(path: Location, shard: Shard) -> bool:
    """Whether a file's header says that it falls to another part: its rest need not be read."""
    with path.open("rb") as file:
        uid = _study_uid(file.read(HEAD_BYTES))
    return uid is not None and not shard.holds(study_of(uid))


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
