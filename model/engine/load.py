"""Which engine computes a checkpoint: OpenVINO where it can, else PyTorch, which can all.

Nothing here imports either before it is known to be needed.
"""

import json
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from model.anatomy import Segmenter
from model.checkpoint_folder import SUMS, ModelIdentity, read_folder, read_tokenizer
from model.engine.cache import (
    VARIABLE,
    CorruptEntry,
    Entry,
    SelfTestFailed,
    entry_folder,
    read_entry,
    write_entry,
)
from model.engine.config import Precision
from model.errors import ConfigError
from model.interface import Engine, Tokenizer

__all__ = [
    "EngineName",
    "EngineOptions",
    "Loaded",
    "engine_name",
    "load_engine",
    "precision_name",
]

log = logging.getLogger("crossray.engine")

EngineName = Literal["auto", "torch", "openvino"]
OWN_MODEL = "crossray"
"""The model_type of config.json that is converted."""
ANATOMY_SUM = Path(__file__).parent.parent / "anatomy.sha256"


ENGINES: tuple[EngineName, ...] = get_args(EngineName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def engine_name(name: str) -> EngineName:
    """One of ENGINES.

    Raises:
        ConfigError: it is none.
    """
    for engine in ENGINES:
        if engine == name:
            return engine
    raise ConfigError(f"engine cannot be {name!r}: name one of {', '.join(ENGINES)}")


def precision_name(name: str) -> Precision:
    """One of PRECISIONS.

    Raises:
        ConfigError: it is none.
    """
    for precision in PRECISIONS:
        if precision == name:
            return precision
    raise ConfigError(f"precision cannot be {name!r}: name one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class EngineOptions:
    """What computes, and where."""

    engine: EngineName = "auto"
    """"auto": OpenVINO where it is installed and runs the checkpoint, else PyTorch."""
    device: str = "cpu"
    """"cpu", or of PyTorch such as "cuda"."""
    threads: int | None = None
    """Of OpenVINO; None: its own choice. PyTorch's are the process's."""
    precision: Precision = "f32"
    """"int8" is OpenVINO's alone, "bf16" is PyTorch's: neither takes the other's place."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint ready to be used."""

    engine: Engine[Any]
    tokenizer: Tokenizer
    identity: ModelIdentity
    segmenter: Segmenter | None = None
    """The anatomy network; None: that of PyTorch, loaded when it is needed."""


def load_engine(source: Path | str, options: EngineOptions) -> Loaded:
    """Load a checkpoint.

    Args:
        source: see model/loading.py.

    Raises:
        CheckpointError: the folder is incomplete, altered or of another kind.
        ConfigError: OpenVINO, or a precision that only it has, was asked for and it cannot run
            this; a precision that the engine has not; a device that cannot be used here.
    """
    reduced = options.precision == "int8"
    if options.engine == "torch" and reduced:
        raise ConfigError("precision int8 is OpenVINO's: use --engine openvino or auto")
    if options.engine == "openvino" and options.precision == "bf16":
        raise ConfigError("precision bf16 is PyTorch's: use --engine torch or auto")
    if options.engine == "torch" or options.precision == "bf16":
        return _torch(source, options)
    openvino_alone = reduced or options.engine == "openvino"
    obstacle = _obstacle(source, options.device)
    if obstacle is None:
        try:
            return _openvino(Path(source), options)
        except SelfTestFailed as failure:
            obstacle = str(failure)
            # A wrong conversion is never used, and never passed over in silence.
            if not openvino_alone:
                log.warning("%s: PyTorch computes instead", failure)
    if openvino_alone:
        instead = "--precision f32" if reduced else "--engine auto"
        raise ConfigError(f"OpenVINO cannot run {str(source)!r}: {obstacle}; use {instead}")
    log.info("PyTorch computes: %s", obstacle)
    return _torch(source, options)


def _obstacle(source: Path | str, device: str) -> str | None:
    """Why OpenVINO cannot run a checkpoint; None where it can."""
    if device != "cpu":
        return f"it computes on the processor, not on {device!r}"
    if not _installed("openvino"):
        return "it is not installed"
    try:
        kind = json.loads((Path(source) / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return "it is no checkpoint folder of CrossRay"  # PyTorch's way says what is wrong
    if kind != OWN_MODEL or not (Path(source) / SUMS).is_file():
        return "only networks that CrossRay trained are converted"
    return None


def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _torch(source: Path | str, options: EngineOptions) -> Loaded:
    import torch

    from model.loading import load_network

    network, tokenizer, identity = load_network(source)
    if options.precision == "bf16":
        # Distances of novelty are differences of large sums: what they are made of stays as it is.
        fitted = network.feature_mean, network.feature_precision
        network.bfloat16()
        network.feature_mean, network.feature_precision = fitted
    try:
        network.to(torch.device(options.device))  # type: ignore[arg-type]
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {options.device!r} cannot be used here ({str(error)[:100]}): try 'cpu'"
        ) from error
    if network.device.type == "cuda" and options.precision == "f32":
        # PyTorch's default rounds the inputs of convolutions to 10 bits.
        torch.backends.cudnn.allow_tf32 = False
    return Loaded(network, tokenizer, identity)


def _openvino(folder: Path, options: EngineOptions) -> Loaded:
    """From the cache, or converted now and put there."""
    from model.engine.openvino_engine import ready
    from model.engine.runtime import openvino_version, processor

    # The weights are read where they are converted: what they were converted to has its own sum.
    contents, sums = read_folder(folder, ("config.json", "tokenizer.json"))
    parts = {
        **{name: sums[name] for name in ("config.json", "model.safetensors", "tokenizer.json")},
        "anatomy": ANATOMY_SUM.read_text("ascii").split()[0],
        "openvino": openvino_version(),
        "processor": processor(),
        "precision": options.precision,
    }
    place = entry_folder(parts)
    made = None
    try:
        if (entry := read_entry(place)) is not None:
            made = ready(entry, options.threads)
    except (CorruptEntry, RuntimeError) as error:
        log.warning("converted models in the cache are damaged (%s): they are made anew", error)
    if made is None:
        entry = _converted(folder, options.precision)
        _keep(entry, place, parts)
        made = ready(entry, options.threads)
    engine, anatomy = made
    tokenizer = read_tokenizer(contents["tokenizer.json"])
    identity = ModelIdentity(engine.config.name, sums["model.safetensors"])
    return Loaded(engine, tokenizer, identity, anatomy)


def _converted(folder: Path, precision: Precision) -> Entry:
    """Made of the PyTorch network, and tested against it.

    Raises:
        CheckpointError: a file of the checkpoint is altered or of another kind.
        SelfTestFailed: the engine is wrong.
    """
    from model.checkpoint import load_own
    from model.engine.convert import convert_network

    log.info("converting the checkpoint for OpenVINO: this is done once")
    network, _, _ = load_own(*read_folder(folder))
    return convert_network(network, precision)


def _keep(entry: Entry, place: Path, parts: dict[str, str]) -> None:
    try:
        write_entry(place, entry, parts)
    except OSError as error:
        log.warning("the converted models cannot be kept (%s): set %s", error.strerror, VARIABLE)
