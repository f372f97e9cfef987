"""What a sender says of a study's images beside them, and what an image is called.

Which views are read is the loaded checkpoint's matter: `ReportGenerator.why_unread`.
"""

from dataclasses import replace

from model.errors import DataError
from model.imaging.radiograph import Radiograph

__all__ = ["MAX_IMAGES", "image_name", "with_view"]

MAX_IMAGES = 8
"""Images of one study, earlier ones among them; each of the largest takes 144 MB of memory once
it is decoded."""


def with_view(radiograph: Radiograph, stated: str) -> Radiograph:
    """The image with the view that its sender states, where the file does not say.

    Args:
        stated: "PA", "AP", "LATERAL", or empty where the sender says nothing.

    Raises:
        DataError: the file says another view.
    """
    if radiograph.view is None:
        return replace(radiograph, view=stated or None)
    if stated not in ("", radiograph.view):
        raise DataError(
            f"its header says {radiograph.view} and its sender {stated}: state no view where the "
            "file says it, or correct the header"
        )
    return radiograph


def image_name(view: str | None, prior: bool) -> str:
    """What people call an image: "PA", "lateral", "prior (AP)", "view not stated"."""
    name = "lateral" if view == "LATERAL" else view
    if prior:
        return f"prior ({name})" if name else "prior"
    return name or "view not stated"
