"""Files named on the command line -> one exam, and the generator that reads it."""

from concurrent.futures import Future
from pathlib import Path

from app.cli.exam_files import ExamFiles
from app.views import with_view
from model.engine.load import Loaded
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated

__all__ = ["generator_of", "read_exam"]


def read_exam(given: ExamFiles, enough: int | None = None) -> Exam:
    """
    Args:
        enough: see ReadLimits.

    Raises:
        ImageError: a file that is no readable radiograph.
    """
    images = [_read(path, enough) for path in given.files]
    images += [_read(path, enough, "LATERAL") for path in given.laterals or []]
    return Exam(images, given.indication, [_read(path, enough) for path in given.priors or []])


def generator_of(loading: Future[Loaded]) -> ReportGenerator:
    """Of a checkpoint that `start_loading` loads; raises what loading did."""
    return ReportGenerator.of(loading.result())


def _read(path: Path, enough: int | None, stated: str = "") -> Radiograph:
    return with_view(read_image_isolated(path, enough=enough), stated)
