"""The files of a checkpoint folder, written and read with their sums.

config.json, model.safetensors, tokenizer.json, training.json (settings, data, scores), README.md
(the model card) and SHA256SUMS over them all, in the format of `sha256sum --check`. Nothing is
parsed before its sum is right: safetensors itself would load a flipped bit silently.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.errors import CheckpointError

__all__ = [
    "EMBEDDED",
    "FILES",
    "SUMS",
    "WAY_OUT",
    "ModelIdentity",
    "as_json",
    "read_folder",
    "read_tokenizer",
    "write_folder",
]

EMBEDDED = Path(__file__).parent / "default"
"""The checkpoint that comes with the package."""
SUMS = "SHA256SUMS"
FILES = ("README.md", "config.json", "model.safetensors", "tokenizer.json", "training.json")
WAY_OUT = "copy the whole checkpoint folder again, or point at another one"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class ModelIdentity:
    name: str
    sha256: str
    """Of model.safetensors, 64 hexadecimal digits."""


def write_folder(directory: Path, contents: dict[str, bytes]) -> dict[str, str]:
    """Write a checkpoint folder; what else lies in the folder stays.

    The sums are written last: a folder whose writing was cut short does not load.

    Args:
        contents: of each of FILES.

    Returns:
        The SHA-256 of each.
    """
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    lines = "".join(f"{sums[name]}  {name}\n" for name in FILES)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SUMS).unlink(missing_ok=True)
    for name, content in {**contents, SUMS: lines.encode()}.items():
        part = directory / f"{name}.part"
        part.write_bytes(content)
        part.replace(directory / name)
    return sums


def read_folder(
    directory: Path, names: Sequence[str] = FILES
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The content of files once its sum is right, and the sums of all.

    Args:
        names: of FILES, those that are needed.

    Raises:
        CheckpointError: one of them is missing or altered; names it.
    """
    sums = _read_sums(directory)
    return {name: _read(directory, name, sums[name]) for name in names}, sums


def as_json(fields: dict[str, Any]) -> bytes:
    """Fields as a file of a checkpoint folder."""
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def _read_sums(directory: Path) -> dict[str, str]:
    """File name -> its SHA-256, for exactly the files a checkpoint has."""
    path = directory / SUMS
    if not path.is_file():
        raise CheckpointError(
            f"no {SUMS} in {str(directory)!r}: it is no checkpoint folder, or one whose writing "
            f"was cut short; {WAY_OUT}"
        )
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise CheckpointError(f"{SUMS} line {number} is not a sum and a file; {WAY_OUT}")
        digest, name = match.groups()
        # A name is only ever compared: no path is built from what the file says.
        if name not in FILES or name in sums:
            raise CheckpointError(
                f"{SUMS} line {number} names {name!r}, expected each of {', '.join(FILES)} "
                f"once; {WAY_OUT}"
            )
        sums[name] = digest
    if missing := [name for name in FILES if name not in sums]:
        raise CheckpointError(f"{SUMS} has no line for {missing}; {WAY_OUT}")
    return sums


def _read(directory: Path, name: str, expected: str) -> bytes:
    """The file's bytes, once they are known to be the ones the sums speak of."""
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{name} cannot be read from {str(directory)!r} ({error.strerror}); {WAY_OUT}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{name} is damaged or was changed: its SHA-256 is {found[:12]}..., {SUMS} says "
            f"{expected[:12]}...; {WAY_OUT}"
        )
    return content


def read_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer of a tokenizer.json.

    Raises:
        CheckpointError: it is none.
    """
    try:
        return Tokenizer.from_str(content.decode())
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"tokenizer.json is no tokenizer ({error}); {WAY_OUT}") from error
