"""Which engine computes a checkpoint: OpenVINO where it can, else PyTorch, which can all.

Nothing here imports either before it is known to be needed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from model.anatomy import Segmenter
from model.checkpoint_folder import ModelIdentity
from model.engine.cache import VARIABLE, CorruptEntry, entry_folder, read_entry, write_entry
from model.engine.config import Precision
from model.engine.entry import ANATOMY, FAILURE, Entry, SelfTestFailed
from model.engine.sources import Source, source_of
from model.errors import ConfigError
from model.interface import Engine, Tokenizer

__all__ = [
    "EngineName",
    "EngineOptions",
    "Loaded",
    "anatomy_parts",
    "engine_name",
    "load_engine",
    "network_parts",
    "precision_name",
]

log = logging.getLogger("crossray.engine")

T = TypeVar("T")
Files = dict[str, bytes]

EngineName = Literal["auto", "torch", "openvino"]
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
        ConfigError: OpenVINO was asked for and it cannot run this; a precision that the processor
            has not; a device that cannot be used here.
    """
    if options.engine == "torch":
        return _torch(source, options)
    openvino_alone = options.engine == "openvino"
    obstacle = _obstacle(options.device)
    found = source if obstacle else source_of(source)
    if isinstance(found, Source):
        obstacle = found.obstacle
        try:
            if obstacle is None:
                return _openvino(found, options)
        except SelfTestFailed as failure:
            obstacle = str(failure)
            # A wrong conversion is never used, and never passed over in silence.
            if not openvino_alone:
                log.warning("%s: PyTorch computes instead", failure)
    if openvino_alone:
        raise ConfigError(f"OpenVINO cannot run {str(source)!r}: {obstacle}; use --engine auto")
    log.info("PyTorch computes: %s", obstacle)
    return _torch(found, options)


def _obstacle(device: str) -> str | None:
    """Why OpenVINO cannot run any checkpoint; None where it can."""
    if device != "cpu":
        return f"it computes on the processor, not on {device!r}"
    return None if _installed("openvino") else "it is not installed"


def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _torch(source: Path | str | Source, options: EngineOptions) -> Loaded:
    import torch

    from model.loading import load_network

    if isinstance(source, Source):
        network, tokenizer, identity = source.network(), source.tokenizer, source.identity
    else:
        network, tokenizer, identity = load_network(source)
    if options.precision == "bf16":
        # Distances of novelty are differences of large sums: what they are made of stays as it is.
        fitted = network.feature_mean, network.feature_precision
        network.bfloat16()
        network.feature_mean, network.feature_precision = fitted
    try:
        network.to(torch.device(options.device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {options.device!r} cannot be used here ({str(error)[:100]}): try 'cpu'"
        ) from error
    if network.device.type == "cuda" and options.precision == "f32":
        # PyTorch's default rounds the inputs of convolutions to 10 bits.
        torch.backends.cudnn.allow_tf32 = False
    return Loaded(network, tokenizer, identity)


def _openvino(source: Source, options: EngineOptions) -> Loaded:
    """From the cache, or converted now and put there."""
    from model.engine.openvino_engine import OpenVinoAnatomy, OpenVinoEngine, ready
    from model.engine.runtime import has_bfloat16

    if options.precision == "bf16" and not has_bfloat16():
        raise ConfigError(
            "precision bf16: this processor has no instructions for bfloat16, which would be slow "
            "without: use --precision f32"
        )

    def anatomy_of(files: Files) -> OpenVinoAnatomy:
        return OpenVinoAnatomy(files[ANATOMY], options.threads)

    def network_of(files: Files) -> OpenVinoEngine:
        return ready(Entry.of(files), options.threads)

    def convert_network() -> Files:
        from model.engine import convert

        log.info("converting the checkpoint for OpenVINO: this is done once")
        return convert.convert_network(source.network(), options.precision).files()

    def convert_anatomy() -> Files:
        from model.engine import convert

        return convert.convert_anatomy()

    parts = network_parts(source, options.precision)
    engine = _kept(parts, network_of, convert_network)
    anatomy = _kept(anatomy_parts(), anatomy_of, convert_anatomy)
    return Loaded(engine, source.tokenizer, source.identity, anatomy)


def network_parts(source: Source, precision: Precision) -> dict[str, str]:
    """What a converted checkpoint depends on: see `entry_folder`."""
    return {**source.sums, **_versions(), "precision": precision}


def anatomy_parts() -> dict[str, str]:
    """What the converted anatomy network depends on: see `entry_folder`."""
    return {"anatomy": ANATOMY_SUM.read_text("ascii").split()[0], **_versions()}


def _versions() -> dict[str, str]:
    from model.engine.runtime import openvino_version, processor

    return {"openvino": openvino_version(), "processor": processor()}


def _kept(parts: dict[str, str], ready: Callable[[Files], T], make: Callable[[], Files]) -> T:
    """What the cache's files are, or those that are made now and put there.

    Raises:
        SelfTestFailed: none can be made, now or when it was tried first.
    """
    place = entry_folder(parts)
    try:
        if (files := read_entry(place)) is not None:
            if FAILURE not in files:
                return ready(files)
            converter, _, reason = files[FAILURE].decode().partition("\n")
            if converter == _converter():
                raise SelfTestFailed(f"{reason}, found before (remove {str(place)!r} to try again)")
    # One that is whole, of a version with other settings, cannot be read either.
    except (CorruptEntry, RuntimeError, ValueError, LookupError, TypeError) as error:
        log.warning("converted models in the cache are damaged (%s): they are made anew", error)
    try:
        files = make()
    except SelfTestFailed as failure:
        _keep(place, {FAILURE: f"{_converter()}\n{failure}".encode()})
        raise
    _keep(place, files)
    return ready(files)


def _converter() -> str:
    """What a conversion that failed may depend on beside its entry's parts: other versions try."""
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))


def _keep(place: Path, files: Files) -> None:
    try:
        write_entry(place, files)
    except OSError as error:
        log.warning("the converted models cannot be kept (%s): set %s", error.strerror, VARIABLE)
