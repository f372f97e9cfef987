"""Where converted models lie: a folder of the user's cache for each, whole or absent.

A folder is written beside its place and moved there as the last step, and nothing in it is used
before its sum is right. It holds models with a self-test that held (self_test.py), or only why
there are none: a conversion that fails takes as long as one that does not.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from model.engine.config import EngineConfig

__all__ = [
    "VARIABLE",
    "CorruptEntry",
    "cache_folder",
    "entry_folder",
    "read_entry",
    "write_entry",
]

FORMAT = 4
"""Of entries and of the models in them: raised whenever either changes."""
KEPT = 16
"""Entries, those used last: each new version of a checkpoint, of OpenVINO or of a processor makes
another, and nobody would come to remove the old."""
VARIABLE = "CROSSRAY_CACHE"
PART = ".part-"
DAY = 24 * 3600
SUMS = "SHA256SUMS"


class CorruptEntry(Exception):
    """A folder that is there and cannot be used; the message says why."""


def cache_folder() -> Path:
    """$CROSSRAY_CACHE; else crossray/ in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crossray"


def entry_folder(parts: Mapping[str, str]) -> Path:
    """Where the entry lies of all that it was made of and depends on: sums, versions, processor."""
    # A setting that is new in the code is in no older entry.
    whole = {"format": FORMAT, "settings": list(EngineConfig.__dataclass_fields__), **parts}
    key = hashlib.sha256(json.dumps(whole, sort_keys=True).encode())
    return cache_folder() / "openvino" / key.hexdigest()


def read_entry(folder: Path) -> dict[str, bytes] | None:
    """A folder's files by name; None where there is no folder.

    Raises:
        CorruptEntry: it is not whole, or not as it was written.
    """
    if not folder.is_dir():
        return None
    try:
        lines = (folder / SUMS).read_text("ascii").splitlines()
        sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
        names = {path.name for path in folder.iterdir()} - {SUMS}
        contents = {name: _read(folder / name, sums[name]) for name in names | sums.keys()}
        with suppress(OSError):  # a cache that is only read
            os.utime(folder)
        return contents
    except (OSError, ValueError, KeyError) as error:
        raise CorruptEntry(f"{type(error).__name__} in {folder.name[:12]}") from error


def write_entry(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put an entry in its place, in one step; what was there goes, and what is KEPT no longer.

    Raises:
        OSError: the cache cannot be written.
    """
    sums = (f"{hashlib.sha256(each).hexdigest()}  {name}\n" for name, each in contents.items())
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=folder.parent))
    try:
        for name, content in {**contents, SUMS: "".join(sums).encode()}.items():
            (part / name).write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)
        # Where another process was faster, its entry is as good.
        if not folder.exists():
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _remove_old(folder.parent)


def _remove_old(folder: Path) -> None:
    """All entries but the KEPT last used, and what processes that were killed left behind."""
    used = {path: _last_used(path) for path in folder.iterdir() if path.is_dir()}
    parts = {path for path in used if path.name.startswith(PART)}
    entries = sorted(used.keys() - parts, key=lambda path: used[path], reverse=True)
    abandoned = [path for path in parts if used[path] < time.time() - DAY]
    for path in (*entries[KEPT:], *abandoned):
        shutil.rmtree(path, ignore_errors=True)


def _last_used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def _read(path: Path, expected: str) -> bytes:
    """Its content.

    Raises:
        ValueError: it is not the one that was written.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(path.name)
    return content
