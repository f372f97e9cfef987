"""One part of a batch whose parts run apart, such as the tasks of a Slurm array."""

import re
from dataclasses import dataclass

from model.errors import ConfigError

__all__ = ["Shard"]

LARGEST_COUNT = 10_000


@dataclass(frozen=True)
class Shard:
    """One of `count` disjoint parts of a folder's studies."""

    number: int
    """From 1 to `count`."""
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "3/8".

        Raises:
            ConfigError: it is not of that form, or not within its range.
        """
        match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        if match is not None:
            number, count = map(int, match.groups())
            if 1 <= number <= count <= LARGEST_COUNT:
                return cls(number, count)
        raise ConfigError(
            f"--shard {text!r}: expected I/N with 1 <= I <= N <= {LARGEST_COUNT}, such as 1/8"
        )

    @property
    def name(self) -> str:
        """Fit for a file's name."""
        return f"{self.number}-of-{self.count}"

    def holds(self, key: str) -> bool:
        """Whether a study belongs to this part.

        Args:
            key: hexadecimal digits of a hash.
        """
        return int(key, 16) % self.count == self.number - 1
