"""Image files on disk under the hash of their content: FOLDER/ab/abcdef..."""

import errno
import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.store.errors import StoreError, StoreFull, UnknownStudy

__all__ = ["Files", "disk_errors"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HASH = re.compile(r"[0-9a-f]{64}")


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn an operating system's error into the store's.

    Raises:
        StoreFull: the disk is full.
        StoreError: another error.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(
                f"{what} cannot be written: the disk is full; make room and try again, what was "
                "stored before is unharmed"
            ) from error
        raise StoreError(f"{what} cannot be written: {error.strerror}") from error


class Files:
    """A folder of files that are called by their SHA-256. The same content is there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Write a file, whole or not at all, and flush it to disk.

        Returns:
            Its SHA-256.

        Raises:
            StoreFull, StoreError: it cannot be written.
        """
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if path.is_file():
            return name
        partial = path.with_name(f".partial-{os.getpid()}-{name}")
        with disk_errors("an image"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return name

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            UnknownStudy: it is not there.
            StoreError: it is not what was written.
        """
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise UnknownStudy("the file of this image is not kept any more") from error
        if hashlib.sha256(content).hexdigest() != name:
            raise StoreError(f"the stored file {name[:12]} is damaged: restore it from a backup")
        return content

    def keep_only(self, names: Collection[str], older_than: float) -> int:
        """Remove files that nobody refers to.

        Args:
            names: what is referred to.
            older_than: seconds since 1970; younger files may belong to a study that is being
                stored.

        Returns:
            How many were removed.
        """
        removed = 0
        for path in self.folder.glob("??/*"):
            if path.name not in names and path.stat().st_mtime < older_than:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, name: str) -> Path:
        if not HASH.fullmatch(name):
            raise UnknownStudy("no such image")
        return self.folder / name[:2] / name
