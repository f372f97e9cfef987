"""Which pictures a report is made from: the one rule of service, batch and command line."""

from model.errors import NotARadiograph
from model.image import Radiograph

__all__ = ["LATERAL", "MAX_PICTURES", "frontal", "is_lateral"]

MAX_PICTURES = 8
"""Pictures of one study; each of the largest takes 144 MB of memory once it is decoded."""
LATERAL = "lateral view: the model reads frontal views"


def is_lateral(radiograph: Radiograph) -> bool:
    """Whether a picture says that it is a lateral view; one that says nothing is taken."""
    return radiograph.view == "LATERAL"


def frontal(radiograph: Radiograph) -> Radiograph:
    """The picture itself.

    Raises:
        NotARadiograph: it is a lateral view. None is dropped silently: who sent it must know.
    """
    if is_lateral(radiograph):
        raise NotARadiograph(f"{LATERAL}; send the frontal picture")
    return radiograph
