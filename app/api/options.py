"""How a client wants its study read and answered."""

from dataclasses import dataclass

from app.api.answers import Maps
from model.exam import Exam
from model.imaging.radiograph import Radiograph

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """How one study is to be read and answered."""

    pixels: bool = False
    """Fill `images[].png`."""
    input_check: bool = True
    """Refuse images that the input check rejects."""
    identity_check: bool = True
    """Refuse images of different patients or studies."""
    maps: Maps = "grounded"
    """Of which words, spans and answers the heatmap is given."""

    def shown(self, exam: Exam) -> list[Radiograph] | None:
        """The images an answer holds."""
        return exam.shown if self.pixels else None
