"""CrossRay's Python interface: draft reports for chest radiographs, with a map for every word.

    import crossray

    generator = crossray.load()
    report = generator(crossray.read_image("chest.dcm"))

Importing this loads neither torch nor any other large library: each name is loaded when it is
first used. Everything here is re-exported from `model`, where it is documented.
"""

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model.errors import (
    CheckpointError,
    ConfigError,
    CrossRayError,
    DataError,
    IdentityMismatch,
    ImageError,
    ImageTooLarge,
    NotAnImage,
    NotARadiograph,
    RefusedError,
    UndecodableImage,
    UnknownFinding,
    UnsupportedImage,
)

if TYPE_CHECKING:
    from model.config import ReportConfig
    from model.decoding import DecodingOptions
    from model.exam import Exam
    from model.findings import NamedFinding
    from model.generator import ReportGenerator
    from model.heatmap import Span, Word
    from model.imaging.letterbox import Letterbox
    from model.imaging.radiograph import ImageWarning, Radiograph, ReadLimits
    from model.imaging.sandbox import IsolationLimits, read_image_isolated
    from model.network import ReportModel
    from model.report import Answer, Report, Section

    __version__: str

__all__ = [
    "Answer",
    "CheckpointError",
    "ConfigError",
    "CrossRayError",
    "DataError",
    "DecodingOptions",
    "Exam",
    "IdentityMismatch",
    "ImageError",
    "ImageTooLarge",
    "ImageWarning",
    "IsolationLimits",
    "Letterbox",
    "NamedFinding",
    "NotARadiograph",
    "NotAnImage",
    "Radiograph",
    "ReadLimits",
    "RefusedError",
    "Report",
    "ReportConfig",
    "ReportGenerator",
    "ReportModel",
    "Section",
    "Span",
    "UndecodableImage",
    "UnknownFinding",
    "UnsupportedImage",
    "Word",
    "__version__",
    "load",
    "read_image",
    "read_image_isolated",
]

_MODULES = {
    "Answer": "model.report",
    "DecodingOptions": "model.decoding",
    "Exam": "model.exam",
    "ImageWarning": "model.imaging.radiograph",
    "IsolationLimits": "model.imaging.sandbox",
    "Letterbox": "model.imaging.letterbox",
    "NamedFinding": "model.findings",
    "Radiograph": "model.imaging.radiograph",
    "ReadLimits": "model.imaging.radiograph",
    "Report": "model.report",
    "ReportConfig": "model.config",
    "ReportGenerator": "model.generator",
    "ReportModel": "model.network",
    "Section": "model.report",
    "Span": "model.heatmap",
    "Word": "model.heatmap",
    "read_image_isolated": "model.imaging.sandbox",
}


def load(
    checkpoint: str | PathLike[str] | None = None,
    device: str = "cpu",
    engine: Literal["auto", "torch", "openvino"] = "auto",
) -> "ReportGenerator":
    """Load a checkpoint.

    Args:
        checkpoint: a folder, CrossRay's or a published one of Hugging Face, or
            "hf:owner/name[@revision]"; None for the embedded one.
        device: a torch device, such as "cpu" or "cuda".
        engine: "auto", OpenVINO on a processor where it runs the checkpoint, else PyTorch;
            "openvino"; or "torch", for work with the network's tensors.

    Raises:
        CheckpointError: the folder is incomplete, altered or of another kind.
        ConfigError: the device or the engine cannot be used here.
    """
    from model.generator import ReportGenerator

    given = None if checkpoint is None else Path(checkpoint)
    return ReportGenerator.load(given, device, engine)


def read_image(
    source: str | PathLike[str] | bytes, limits: "ReadLimits | None" = None
) -> "Radiograph":
    """Read one DICOM, PNG or JPEG file in this process.

    For files from strangers use `read_image_isolated`: a native decoder may crash on a hostile
    file, and there it crashes in a child process with limits on memory and time.

    Args:
        source: path of the file, or its content.
        limits: sizes above which a file is refused before it is decoded.

    Raises:
        UnsupportedImage: not DICOM, PNG or JPEG.
        UndecodableImage: one of them, but unreadable, truncated, damaged or empty.
        NotARadiograph: another modality, a color image, several frames.
        ImageTooLarge: more bytes or pixels than the limits allow.
    """
    from model.imaging.radiograph import ReadLimits
    from model.imaging.read import read_image as read

    given = source if isinstance(source, bytes) else Path(source)
    return read(given, limits or ReadLimits())


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("crossray")
    except PackageNotFoundError:  # a source tree that was never installed
        return "unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _MODULES:
        raise AttributeError(f"module 'crossray' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
