"""The command that takes published checkpoints in."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["import_checkpoint"]


def import_checkpoint(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="Hugging Face folder, or hf:owner/name[@revision] of the hub."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New checkpoint folder.")],
) -> None:
    """Write a published encoder-decoder checkpoint as a CrossRay checkpoint folder.

    OUT gives the reports that SRC gives, with SHA-256 sums, a tokenizer in one file, and a card
    that says where it is from. No code of SRC is run, and only safetensors weights are read.
    """
    from model.errors import ConfigError
    from model.imported.export import export
    from model.loading import read_published

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{str(out)!r} is not empty: name a new folder")
    identity = export(read_published(source), out)
    typer.echo(f"{identity.name} written to {out}, weights {identity.sha256[:12]}")
