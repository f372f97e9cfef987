"""What became of each study of a batch, as its record keeps it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from model.checkpoint_folder import ModelIdentity
from model.errors import ConfigError

__all__ = [
    "BatchImage",
    "Output",
    "Record",
    "Unused",
    "model_content",
    "model_of",
    "refuse_other_model",
]

LISTS = ("stamps", "probabilities", "warnings", "review")


@dataclass(frozen=True)
class BatchImage:
    """A file that a report was made from."""

    stamp: str
    """See Source."""
    sha256: str
    """Of the bytes that were decoded."""
    view: str | None
    """"PA", "AP", "LATERAL" or None where it does not say."""


@dataclass(frozen=True)
class Unused:
    """A file that no report was made from."""

    stamp: str
    status: str
    """"skipped": it is no radiograph of a view that the model reads. "failed": it should be one,
    and cannot be read."""
    reason: str


@dataclass(frozen=True)
class Output:
    """A file of the study's folder."""

    name: str
    size: int
    """In bytes."""


@dataclass(frozen=True)
class Record:
    """What became of one study: a report, a refusal, or neither."""

    study: str
    stamps: tuple[str, ...]
    """Of every file of the study, sorted."""
    indication: str
    """SHA-256 of the indication that was given; empty where none was."""
    images: tuple[BatchImage, ...] = ()
    """What the report was made from, in its order, or what was refused; none where no file could
    be read."""
    refusal: str = ""
    """Why a check refuses the images; empty where there is a report."""
    findings: str = ""
    impression: str = ""
    probabilities: tuple[str, ...] = ()
    """Of the findings that it asserts, each "name=0.97", or "name=" where there is none."""
    warnings: tuple[str, ...] = ()
    """What speaks against a report on its images, each "code: message"."""
    review: tuple[str, ...] = ()
    """What of the report is to be checked first, each "code: message"."""
    unused: tuple[Unused, ...] = ()
    outputs: tuple[Output, ...] = ()

    @property
    def reported(self) -> bool:
        return bool(self.images) and not self.refusal

    @property
    def failed(self) -> bool:
        return any(file.status == "failed" for file in self.unused)

    def covers(self, stamps: tuple[str, ...], indication: str) -> bool:
        """Whether nothing is left to do for exactly these files.

        Args:
            stamps, indication: as in the record.
        """
        return (self.stamps, self.indication) == (stamps, indication) and not self.failed

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Record | None":
        """None where it is not a record of this version: the study is done again."""
        try:
            return cls.from_fields(json.loads(text))
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Record":
        """
        Raises:
            KeyError, TypeError: it is not a record of this version.
        """
        parts = {
            name: tuple(part(**values) for values in fields[name]) for name, part in PARTS.items()
        }
        lists = {name: tuple(fields[name]) for name in LISTS}
        return cls(**{**fields, **lists, **parts})


PARTS: dict[str, type[BatchImage | Unused | Output]] = {
    "images": BatchImage,
    "unused": Unused,
    "outputs": Output,
}


def model_content(model: ModelIdentity) -> bytes:
    """The content of batch.json."""
    return (json.dumps({"format": 1, "model": asdict(model)}, indent=1) + "\n").encode()


def model_of(content: bytes, out: str) -> str:
    """SHA-256 of the model in a batch.json.

    Raises:
        ConfigError: it is no batch.json.
    """
    try:
        return str(json.loads(content)["model"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"batch.json in {out!r} is not a batch's: name another output folder"
        ) from error


def refuse_other_model(earlier: str, model: ModelIdentity, out: str) -> None:
    """
    Raises:
        ConfigError: the output is another model's.
    """
    if earlier != model.sha256:
        raise ConfigError(
            f"{out!r} was begun with model {earlier[:12]}, this one is {model.sha256[:12]}: name "
            "another folder, or do it all again with --redo"
        )
