"""Files spoilt in the ways that disks, networks and strangers spoil them, the same for one seed."""

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["mutated"]

MARKS = (b"\xff\xd9", b"\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\0" * 8, b"IEND", b"DICM")


def mutated(seeds: Sequence[bytes], number: int) -> bytes:
    """The mutated file number `number`."""
    rng = np.random.default_rng(number)
    data = bytearray(seeds[number % len(seeds)])
    for _ in range(int(rng.integers(1, 4))):
        change = WAYS[int(rng.integers(len(WAYS)))]
        change(data, rng)
    return bytes(data)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, and half of the time in the first kilobyte, where headers are."""
    return int(rng.integers(max(1, min(len(data), 1024 if rng.random() < 0.5 else len(data)))))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    noise = rng.integers(0, 256, int(rng.integers(1, 64)), dtype=np.uint8).tobytes()
    data[start : start + len(noise)] = noise


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 256))]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = MARKS[int(rng.integers(len(MARKS)))]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = data[start : start + int(rng.integers(1, 4096))]


def _largest(data: bytearray, rng: np.random.Generator) -> None:
    """A length or a size becomes as large as it can be."""
    start = _place(data, rng)
    data[start : start + 4] = b"\xff" * int(rng.integers(1, 5))


WAYS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip,
    _overwrite,
    _cut,
    _remove,
    _insert,
    _repeat,
    _largest,
)
