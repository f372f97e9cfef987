"""A study as a client sends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Sent"]


@dataclass(frozen=True)
class Sent:
    """One study as it came in."""

    files: Sequence[BinaryIO]
    """The study's own images."""
    views: Sequence[str] = ()
    """Per file what its sender says: "PA", "AP", "LATERAL", or empty; or nothing of any."""
    priors: Sequence[BinaryIO] = ()
    """Frontal images of an earlier study."""
    indication: str = ""
    name: str = ""
    """What the worklist is to call it, where studies are kept."""
