"""Small weights that are shipped with the package: one safetensors file and its SHA-256 beside it.

    anatomy.safetensors
    anatomy.sha256       as `sha256sum` writes it

safetensors would load a flipped bit silently, hence the sum. A checkpoint has a folder of its own
and one list of sums over all its files: model/checkpoint.py.
"""

import hashlib
from pathlib import Path

from model.errors import CheckpointError

__all__ = ["read_weights", "write_weights"]


def write_weights(content: bytes, path: Path) -> str:
    """Write a file and, beside it, its SHA-256, which is returned."""
    digest = hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return digest


def read_weights(path: Path, way_out: str) -> bytes:
    """
    Args:
        way_out: what helps, for the message.

    Raises:
        CheckpointError: the file or its sum are missing, or do not agree.
    """
    sums = path.with_suffix(".sha256")
    try:
        content = path.read_bytes()
        expected = sums.read_text(encoding="ascii").split()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} or {sums.name} cannot be read; {way_out}") from error
    digest = hashlib.sha256(content).hexdigest()
    if [digest] != expected:
        raise CheckpointError(
            f"{path.name} has SHA-256 {digest}, not that of {sums.name}; {way_out}"
        )
    return content
