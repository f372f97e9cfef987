"""What lies below a data set's folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from model.errors import DataError

__all__ = ["IMAGE_ENDINGS", "files_below"]

IMAGE_ENDINGS = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, relative to it, in a settled order; hidden ones are passed over.

    Links to folders are not followed: they may lead in a circle.

    Raises:
        DataError: no such folder, or one below it may not be listed.
    """
    if not folder.is_dir():
        raise DataError(f"the data set's folder {str(folder)!r} is not there")

    def refuse(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        raise DataError(f"the folder {name!r} cannot be listed: {error.strerror}") from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root).relative_to(folder)
        yield from (here / name for name in sorted(files) if not name.startswith("."))
