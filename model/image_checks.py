"""What speaks against a report on the images of a study, before anything is written."""

from model.anatomy import Segmenter
from model.errors import RefusedError
from model.exam import Exam
from model.heart_side import heart_warning
from model.imaging.radiograph import ImageWarning, Radiograph
from model.input_check import examine

__all__ = ["examined"]


def examined(
    exam: Exam, input_check: bool, segmenter: Segmenter | None
) -> tuple[tuple[ImageWarning, ...], ...]:
    """Per image of a study what reading it repaired and what the input check says.

    Raises:
        RefusedError: it rejects one, and `input_check` is True.
    """
    warnings = tuple((*image.warnings, *_checked(image, segmenter)) for image in exam.shown)
    for number, of_image in enumerate(warnings, 1):
        for warning in of_image:
            if input_check and warning.refuses:
                which = f"image {number}: " if len(warnings) > 1 else ""
                raise RefusedError(f"{which}{warning.message}")
    return warnings


def _checked(image: Radiograph, segmenter: Segmenter | None) -> tuple[ImageWarning, ...]:
    """What the input check says and, where it says nothing of a frontal image, its heart's side."""
    found = examine(image.pixels, image.view)
    if found or image.view == "LATERAL":
        return found
    exchanged = heart_warning(image, segmenter)
    return () if exchanged is None else (exchanged,)
