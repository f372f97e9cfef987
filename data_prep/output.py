"""Files of a prepared folder, each written whole or not at all, and whose folder it is."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from model.errors import DataError

__all__ = ["claim", "write_csv", "write_json", "write_png"]


def claim(
    out: Path, asked: dict[str, Any], folders: Iterable[str], later: Iterable[str] = ()
) -> dict[str, Any]:
    """Find that a folder is new or holds the same; make it, and `folders` below it.

    Returns:
        What prepared.json recorded; `asked` where the folder is new.

    Args:
        asked: what the folder's content follows from. The caller writes it into prepared.json once
            it is sure to be made.
        later: keys of `asked` that count as 0 where prepared.json does not tell them.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    note = out / "prepared.json"
    try:
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else asked
    except (OSError, ValueError) as error:
        raise DataError(f"{str(out)!r} cannot be used: {error}; choose an empty folder") from error
    there = {k: v for k, v in {**dict.fromkeys(later, 0), **known}.items() if k in asked}
    if there != asked:
        raise DataError(f"{out.name!r} holds {there}, asked for {asked}: choose an empty folder")
    return known


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Keys sorted, so that equal content is equal bytes."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Returns how many rows there were."""
    temporary = path.with_suffix(".part")
    count = 0
    with temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        for count, row in enumerate(rows, 1):  # noqa: B007  counted, also when there is none
            writer.writerow([_cell(value) for value in row])
    temporary.replace(path)
    return count


def _cell(value: object) -> object:
    """A spreadsheet would run what begins so (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def write_png(path: Path, pixels: np.ndarray) -> int:
    """uint8 or uint16 (height, width); returns the file's size in bytes.

    Raises:
        DataError: the file cannot be written.
    """
    encoded = cv2.imencode(".png", pixels)[1].tobytes()
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(encoded)
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"could not write {path.name!r}: {error.strerror}. What was prepared before is kept: "
            "run the same command again"
        ) from error
    return len(encoded)
