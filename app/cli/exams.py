"""Files named on the command line -> one exam, and the model that reads it.

Imports little: the process that reads the files starts before anything else is loaded.
"""

import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import CrossRayError
from model.imaging.reading_process import prepare_isolation

if TYPE_CHECKING:
    from model.exam import Exam
    from model.generator import ReportGenerator
    from model.imaging.radiograph import Radiograph

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
        named = [*self.files, *(self.laterals or []), *(self.priors or [])]
        for path in named:
            _check_exists(path)
        prepare_isolation(named)


def read_exam(given: ExamFiles) -> "Exam":
    """
    Raises:
        ImageError: a file that is no readable radiograph.
    """
    from model.exam import Exam

    images = [_read(path) for path in given.files]
    images += [_read(path, "LATERAL") for path in given.laterals or []]
    return Exam(images, given.indication, [_read(path) for path in given.priors or []])


def load_generator(
    model: Path | None, engine: str, device: str, threads: int | None
) -> "ReportGenerator":
    """Args as the options --model, --engine, --device and --threads have them."""
    from app.threads import use_threads
    from model.checkpoint_folder import EMBEDDED
    from model.engine.load import EngineOptions, engine_name, load_engine

    options = EngineOptions(engine_name(engine), device, use_threads(threads))
    # OpenVINO lets Python run while it loads, and what writes reports is a lot of Python.
    importing = threading.Thread(target=import_module, args=("model.generator",))
    importing.start()
    loaded = load_engine(model or EMBEDDED, options)
    importing.join()
    from model.generator import ReportGenerator

    return ReportGenerator.of(loaded)


def _read(path: Path, stated: str = "") -> "Radiograph":
    from app.views import with_view
    from model.imaging.sandbox import read_image_isolated

    return with_view(read_image_isolated(path), stated)


def _check_exists(path: Path) -> None:
    if path.is_dir():
        raise CrossRayError(f"{str(path)!r} is a folder: `crossray batch` reads folders")
    if not path.is_file():
        raise CrossRayError(f"there is no file {str(path)!r}: name a DICOM, PNG or JPEG file")
