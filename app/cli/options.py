"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "EXIT_BAD_FILES",
    "ChexbertOption",
    "DeviceOption",
    "EngineOption",
    "IdentityCheckOption",
    "InputCheckOption",
    "JsonFileOption",
    "ModelArgument",
    "ModelOption",
    "PrecisionOption",
    "ProtocolOption",
    "RadgraphOption",
    "SizeOption",
    "StoreOption",
    "ThreadsOption",
    "WorkersOption",
]

EXIT_BAD_FILES = 3
"""Exit status of a command that finished without some of its files."""

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Checkpoint folder.")]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="DIR",
        help="Checkpoint: a folder, CrossRay's or Hugging Face's, or hf:owner/name[@revision]; the "
        "embedded one if omitted.",
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="auto|torch|openvino",
        help="What computes. auto: OpenVINO where it runs the checkpoint, else PyTorch.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or mps.")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="f32|bf16",
        help="f32: the reference's reports. bf16: faster with large networks, where the processor "
        "or GPU has bfloat16; some reports differ.",
    ),
]
JsonFileOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the results to this file as well."),
]
ProtocolOption = Annotated[
    str, typer.Option("--protocol", help="Text normalization: r2gen, rexrank or raw.")
]
ChexbertOption = Annotated[
    Path | None,
    typer.Option("--chexbert", metavar="DIR", help="Folder with CheXbert's weights: adds its F1."),
]
RadgraphOption = Annotated[
    Path | None,
    typer.Option("--radgraph", metavar="DIR", help="Folder with RadGraph's weights: adds its F1."),
]
SizeOption = Annotated[int, typer.Option(min=64, max=2048, help="Longest side in pixels.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes; one per core if omitted.")
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Keep studies, drafts and their edits in this folder, for the worklist.",
    ),
]
InputCheckOption = Annotated[
    bool,
    typer.Option(
        "--no-input-check",
        help="Continue with images the input check rejects and report the reasons as warnings.",
    ),
]
IdentityCheckOption = Annotated[
    bool,
    typer.Option(
        "--no-identity-check",
        help="Continue with files of different patients or studies, or a prior that is not "
        "earlier, and report it as a warning.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=1024,
        help="Compute threads, at most one per core; one per idle core if omitted.",
    ),
]
