"""A converted network as files of the cache (cache.py)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.engine.config import EngineConfig

__all__ = [
    "ANATOMY",
    "FAILURE",
    "MODELS",
    "RECORD",
    "Entry",
    "SelfTestFailed",
]

MODELS = ("images", "decoder")
BLANK = "blank.bin"
RECORD = "record.json"
ANATOMY = "anatomy.bin"
"""The anatomy network, an entry of its own: every checkpoint uses the same."""
FAILURE = "failure.txt"
"""The only file where no models could be made: why."""


class SelfTestFailed(Exception):
    """Converted models do not compute what they were made of; the message says by how much."""


@dataclass(frozen=True)
class Entry:
    """One checkpoint's converted models."""

    config: EngineConfig
    models: Mapping[str, bytes]
    """Of each of MODELS, as runtime.imported reads it."""
    blank: bytes
    """float32, or bfloat16 where that is computed with: per layer the keys and values of what a
    study without images is read as: the attention sink alone; of an imported network, a black
    image."""
    self_test: Mapping[str, Any]
    """How far they were from the reference."""

    def files(self) -> dict[str, bytes]:
        """As the cache holds them."""
        record = {"config": asdict(self.config), "self_test": dict(self.self_test)}
        return {
            **{f"{name}.bin": self.models[name] for name in MODELS},
            BLANK: self.blank,
            RECORD: json.dumps(record, indent=1).encode(),
        }

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> "Entry":
        """What `files` returned."""
        record = json.loads(files[RECORD])
        models = {name: files[f"{name}.bin"] for name in MODELS}
        config = EngineConfig(**record["config"])
        return cls(config, models, files[BLANK], record["self_test"])
