"""Files named on the command line, and the process that reads them.

Imports little: that process starts before anything else is loaded.
"""

from dataclasses import dataclass
from pathlib import Path

from model.errors import CrossRayError
from model.imaging.reading_process import prepare_isolation

__all__ = ["ExamFiles"]


@dataclass(frozen=True)
class ExamFiles:
    """What the command line names of one study."""

    files: list[Path]
    laterals: list[Path] | None
    """Those whose files do not state it."""
    priors: list[Path] | None
    indication: str

    def prepare(self) -> None:
        """Start the process that reads them, while the model is loaded.

        Raises:
            CrossRayError: a folder, or no file of that name.
        """
        named = [*self.files, *(self.laterals or []), *(self.priors or [])]
        for path in named:
            _check_exists(path)
        prepare_isolation(named)


def _check_exists(path: Path) -> None:
    if path.is_dir():
        raise CrossRayError(f"{str(path)!r} is a folder: `crossray batch` reads folders")
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a DICOM, PNG or JPEG file")
