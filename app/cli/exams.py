"""Files named on the command line -> one exam."""

from pathlib import Path

from app.views import with_view
from model.errors import CrossRayError
from model.exam import Exam
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated

__all__ = ["read_exam"]


def read_exam(
    files: list[Path], laterals: list[Path] | None, priors: list[Path] | None, indication: str
) -> Exam:
    """
    Raises:
        CrossRayError: a folder, or no file of that name.
        ImageError: a file that is no readable radiograph.
    """
    images = [_read(path) for path in files]
    images += [_read(path, "LATERAL") for path in laterals or []]
    return Exam(images, indication, [_read(path) for path in priors or []])


def _read(path: Path, stated: str = "") -> Radiograph:
    return with_view(read_image_isolated(_existing(path)), stated)


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise CrossRayError(f"{str(path)!r} is a folder: `crossray batch` reads folders")
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a DICOM, PNG or JPEG file")
    return path
