"""Files of commands that measure: written whole or not at all, found unwritable before the work."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import DataError

__all__ = ["require_writable", "sha256_of", "write_json", "write_text"]


def require_writable(*paths: Path | None) -> None:
    """
    Raises:
        DataError: the folder of a path is missing, or the path is a folder itself.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise DataError(f"no folder {str(path.parent)!r} to write {path.name!r} in")
        if path.is_dir():
            raise DataError(f"{str(path)!r} is a folder: name a file in it")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Raises: DataError: it cannot be written."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Raises: DataError: it cannot be written."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {str(path)!r}: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """Of a file, 64 hexadecimal digits: which one a number comes from."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
