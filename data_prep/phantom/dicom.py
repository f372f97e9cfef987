"""Phantoms as DX DICOM objects of the kinds hospitals have.

What varies, and is drawn from a generator: depth (12 to 16 bits), MONOCHROME1 or 2 with the
presentation LUT shape that belongs to it, how values are shown (LINEAR, LINEAR_EXACT or SIGMOID
window, several windows, VOI LUT), which values are used, the detector, the transfer syntax. All
of it is undone by a reader that follows the standard: what `model.image.read_image` gives back is
the image that was written, to within TOLERANCE.

Rescale slope and intercept do not vary: PS3.3 C.8.11.3 fixes them to 1 and 0 in DX objects, as it
fixes unsigned pixels.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite, uid
from pydicom.encaps import encapsulate

from model.errors import ConfigError

__all__ = ["TOLERANCE", "Instance", "write_dx"]

TOLERANCE = 0.003
"""The largest difference between a pixel written and read back: half a step of 12 bits, and what
a sigmoid never reaches of black and white."""

_FIELD_MM = 430.0
"""Side of the detector."""
_SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.RLELossless,
)
_VIEWS = {
    "PA": ("PA", ("272479007", "postero-anterior"), ["L", "F"]),
    "AP": ("AP", ("399348003", "antero-posterior"), ["L", "F"]),
    "LATERAL": ("LL", ("399173006", "left lateral"), ["P", "F"]),
}
"""View Position, view code of CID 4010, and Patient Orientation: rows run to the patient's left, or
to the back; columns to the feet. So right, or the front, is on the left of the image."""
_DATE, _PRIOR_DATE = "20200101", "20190601"


@dataclass(frozen=True)
class Instance:
    """Where an image stands in the studies of its patient."""

    study_uid: str | None = None
    """The Study Instance UID, from which the others follow; drawn where it is None."""
    number: int = 1
    """In its study, from 1. Images of one patient and machine are written with generators of equal
    state."""
    prior: bool = False
    """Of a study some months before."""


def write_dx(
    path: Path,
    pixels: np.ndarray,
    view: str,
    rng: np.random.Generator,
    instance: Instance = Instance(),
    syntax: uid.UID | None = None,
) -> None:
    """Write one "Digital X-Ray Image Storage - For Presentation" object.

    The same image, generator state and study give the same file.

    Args:
        path: where to; an existing file is replaced.
        pixels: float32 (height, width) in [0, 1], bone white; 32 pixels a side at least, for
            JPEG 2000.
        view: "PA", "AP" or "LATERAL", a left one.
        rng: draws what varies.
        syntax: one of those that phantoms come in; None: drawn as well.

    Raises:
        ConfigError: another view.
    """
    if view not in _VIEWS:
        raise ConfigError(f"view {view!r}: a phantom is one of {', '.join(_VIEWS)}")
    study = instance.study_uid or f"2.25.{int.from_bytes(rng.bytes(15), 'big')}"
    ds = Dataset()
    date = _PRIOR_DATE if instance.prior else _DATE
    _add_patient_and_study(ds, study, rng, instance.number, date)
    _add_equipment(ds, pixels.shape[0], rng)
    _add_positioning(ds, view)
    stored = _add_image(ds, pixels, rng)
    _write(path, ds, stored, syntax or _SYNTAXES[rng.integers(len(_SYNTAXES))])


def _add_patient_and_study(
    ds: Dataset, study: str, rng: np.random.Generator, instance: int, date: str
) -> None:
    number = int(rng.integers(1, 1_000_000))
    ds.PatientName = f"PHANTOM^{number:06d}"
    ds.PatientID = f"PHANTOM-{number:06d}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = _derived_uid(study, "series")
    ds.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = _derived_uid(study, f"instance {instance}" if instance > 1 else "instance")
    ds.StudyDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.AcquisitionTime = ds.ContentTime = f"{int(rng.integers(8, 18)):02d}0000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.SeriesNumber, ds.InstanceNumber = 1, instance
    ds.Modality = "DX"
    ds.PresentationIntentType = "FOR PRESENTATION"


def _derived_uid(study: str, what: str) -> str:
    digest = hashlib.sha256(f"{study}/{what}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def _add_equipment(ds: Dataset, height: int, rng: np.random.Generator) -> None:
    ds.Manufacturer = "CrossRay"
    ds.ManufacturerModelName = "Phantom"
    ds.DetectorType = str(rng.choice(["DIRECT", "SCINTILLATOR", "STORAGE"]))
    ds.ImagerPixelSpacing = [round(_FIELD_MM / height, 6)] * 2
    ds.AcquisitionContextSequence = []


def _add_positioning(ds: Dataset, view: str) -> None:
    ds.BodyPartExamined = "CHEST"
    ds.AnatomicRegionSequence = [_coded("816094009", "Chest")]
    ds.ImageLaterality = "U"
    ds.PositionerType = "COLUMN"
    ds.ViewPosition, code, ds.PatientOrientation = _VIEWS[view]
    ds.ViewCodeSequence = [_coded(*code)]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []


def _coded(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _add_image(ds: Dataset, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the elements that describe the pixels; returns the stored values, uint16."""
    bits = int(rng.choice([12, 14, 15, 16]))
    inverted = bool(rng.random() < 0.5)
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.PixelIntensityRelationship = "LOG"
    # Bone, which lets least through, has the larger values unless it is stored inverted.
    ds.PixelIntensityRelationshipSign = 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    top = (1 << bits) - 1
    used = _Used(int(top * rng.uniform(0, 0.1)), int(top * rng.uniform(0.9, 1)))
    unwindow = _SHOWINGS[rng.integers(len(_SHOWINGS))](ds, used, rng)
    values = unwindow((1 - pixels if inverted else pixels).astype(np.float64).clip(0, 1))
    return np.rint(values).clip(0, top).astype(np.uint16)


@dataclass(frozen=True)
class _Used:
    """The stored values that an image spans."""

    low: int
    high: int

    @property
    def span(self) -> int:
        return self.high - self.low


Showing = Callable[[Dataset, _Used, np.random.Generator], Callable[[np.ndarray], np.ndarray]]
"""Adds the VOI elements; returns how display values become stored ones."""


Stored = Callable[[np.ndarray], np.ndarray]
"""What is shown, in [0, 1] -> the values stored for it."""


def _linear(ds: Dataset, used: _Used, rng: np.random.Generator) -> Stored:
    ds.WindowCenter, ds.WindowWidth = _linear_window(used)
    return lambda shown: used.low + shown * used.span


def _linear_window(used: _Used) -> tuple[float, float]:
    """PS3.3 C.11.2.1.2.1 shows center - 0.5 - (width - 1) / 2 as black."""
    return used.low + used.span / 2 + 0.5, used.span + 1


def _several(ds: Dataset, used: _Used, rng: np.random.Generator) -> Stored:
    center, width = _linear_window(used)
    ds.WindowCenter = [center, center, float(round(center * rng.uniform(0.5, 0.9)))]
    ds.WindowWidth = [width, float(round(width * 0.7)), float(round(width * 0.3))]
    ds.WindowCenterWidthExplanation = ["NORMAL", "HARDER", "LUNG"]
    ds.VOILUTFunction = "LINEAR"
    return lambda shown: used.low + shown * used.span


def _linear_exact(ds: Dataset, used: _Used, rng: np.random.Generator) -> Stored:
    ds.WindowCenter, ds.WindowWidth = (used.low + used.high) / 2, used.span
    ds.VOILUTFunction = "LINEAR_EXACT"
    return lambda shown: used.low + shown * used.span


def _sigmoid(ds: Dataset, used: _Used, rng: np.random.Generator) -> Stored:
    # A sigmoid comes near black and white only: let the values in use reach so near.
    nearest = TOLERANCE / 2
    steepest = np.log(1 / nearest - 1)
    center, width = (used.low + used.high) // 2, round(2 * used.span / steepest)
    ds.WindowCenter, ds.WindowWidth = center, width
    ds.VOILUTFunction = "SIGMOID"
    return lambda shown: center - width / 4 * np.log(1 / shown.clip(nearest, 1 - nearest) - 1)


def _table(ds: Dataset, used: _Used, rng: np.random.Generator) -> Stored:
    gamma = rng.uniform(0.8, 1.25)
    curve = (np.arange(used.span + 1) / used.span) ** gamma
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [used.span + 1, used.low, 16])
    item.LUTExplanation = "NORMAL"
    item.add_new("LUTData", "OW", np.rint(curve * 65535).astype("<u2").tobytes())
    ds.VOILUTSequence = [item]
    return lambda shown: used.low + shown ** (1 / gamma) * used.span


_SHOWINGS: tuple[Showing, ...] = (_linear, _several, _linear_exact, _sigmoid, _table)


def _write(path: Path, ds: Dataset, stored: np.ndarray, syntax: uid.UID) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds.PixelData = stored.astype("<u2").tobytes()
    if syntax == uid.JPEGLosslessSV1:
        # pydicom has no encoder of its own for it.
        from imagecodecs import jpeg8_encode

        stream = jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=int(ds.BitsStored))
        ds.PixelData = encapsulate([bytes(stream)])
        ds["PixelData"].is_undefined_length = True
    elif syntax.is_encapsulated:
        ds.compress(syntax, generate_instance_uid=False)
    ds["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    ds.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, ds, enforce_file_format=True)
