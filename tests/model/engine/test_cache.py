"""An entry of the cache is read as it was written, or not at all."""

import os
import time
from pathlib import Path

import pytest

from model.engine.cache import (
    DAY,
    KEPT,
    SUMS,
    CorruptEntry,
    entry_folder,
    read_entry,
    write_entry,
)

ENTRY = {"decoder.bin": b"decoder" * 40, "record.json": b'{"tokens": 3}'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_entry(tmp_path / "entry", ENTRY)
    return tmp_path / "entry"


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    assert read_entry(folder) == ENTRY
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing beside it"
    assert read_entry(folder.parent / "absent") is None


@pytest.mark.parametrize("name", [*ENTRY, SUMS])
def test_any_damage_is_seen(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for place in range(0, len(content), max(1, len(content) // 40)):
        for bit in (1, 4, 128):
            flipped = bytes([content[place] ^ bit])
            (folder / name).write_bytes(content[:place] + flipped + content[place + 1 :])
            with pytest.raises(CorruptEntry):
                read_entry(folder)
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptEntry):
        read_entry(folder)
    (folder / name).unlink()
    with pytest.raises(CorruptEntry):
        read_entry(folder)


def test_a_new_entry_takes_the_place_of_a_damaged_one(folder: Path) -> None:
    (folder / SUMS).write_text("nothing")
    write_entry(folder, ENTRY)
    assert read_entry(folder) == ENTRY


def test_what_an_entry_depends_on_is_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSRAY_CACHE", "/c")
    places = {entry_folder(parts) for parts in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"})}
    assert len(places) == 4 and {place.parent for place in places} == {Path("/c/openvino")}


def test_the_cache_does_not_grow_for_ever(tmp_path: Path) -> None:
    now = time.time()
    for number in range(KEPT):
        write_entry(tmp_path / f"{number}", ENTRY)
        os.utime(tmp_path / f"{number}", (now - 1000 + number,) * 2)
    for name, age in (("abandoned", 2 * DAY), ("being written", 60)):
        (tmp_path / f".part-{name}").mkdir()
        os.utime(tmp_path / f".part-{name}", (now - age,) * 2)
    assert read_entry(tmp_path / "0") == ENTRY, "the oldest is used now"
    write_entry(tmp_path / "new", ENTRY)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"new", "0", *map(str, range(2, KEPT)), ".part-being written"}
