"""Files named on the command line -> one exam, and the model that reads it."""

from dataclasses import dataclass
from pathlib import Path

from app.threads import use_threads
from app.views import with_view
from model.engine.load import engine_name
from model.errors import CrossRayError
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import prepare_isolation, read_image_isolated

__all__ = ["ExamFiles", "load_generator", "read_exam"]


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
        for path in [*self.files, *(self.laterals or []), *(self.priors or [])]:
            _check_exists(path)
        prepare_isolation()


def read_exam(given: ExamFiles) -> Exam:
    """
    Raises:
        ImageError: a file that is no readable radiograph.
    """
    images = [_read(path) for path in given.files]
    images += [_read(path, "LATERAL") for path in given.laterals or []]
    return Exam(images, given.indication, [_read(path) for path in given.priors or []])


def load_generator(model: Path | None, engine: str, threads: int | None) -> ReportGenerator:
    """Args as the options --model, --engine and --threads have them."""
    chosen = use_threads(threads)
    return ReportGenerator.load(model, engine=engine_name(engine), threads=chosen)


def _read(path: Path, stated: str = "") -> Radiograph:
    return with_view(read_image_isolated(path), stated)


def _check_exists(path: Path) -> None:
    if path.is_dir():
        raise CrossRayError(f"{str(path)!r} is a folder: `crossray batch` reads folders")
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a DICOM, PNG or JPEG file")
