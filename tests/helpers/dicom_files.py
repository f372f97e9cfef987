"""Small DICOM files in every encoding, made here so that tests need no data.

`stored_as` turns one image into stored values of any depth, sign and photometric interpretation;
`encoded` writes them in any transfer syntax.
"""

import zlib
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite, uid
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

STUDY = "1.2.826.0.1.3680043.10.1"

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
LOSSLESS = (
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.RLELossless,
)
LOSSY = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
)


def image(height: int = 48, width: int = 40) -> np.ndarray:
    """float64 (height, width) from exactly 0 to exactly 1, smooth and without any symmetry."""
    down, across = np.mgrid[0:height, 0:width]
    waves = np.sin(across / 7) + np.cos(down / 5) + across / width + down / height / 3
    return (waves - waves.min()) / (waves.max() - waves.min())


def stored_as(
    shown: np.ndarray, *, bits: int, signed: bool = False, inverted: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """Stored values of an image in [0, 1], and the elements that say how to show them.

    The window spans all values, so that reading gives the image back to half a step.
    """
    top = (1 << bits) - 1
    values = np.rint((1 - shown if inverted else shown) * top).astype(np.int64)
    lowest = -(1 << (bits - 1)) if signed else 0
    stored = (values + lowest).astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    elements = {
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        "BitsStored": bits,
        "PixelRepresentation": int(signed),
        "WindowCenter": (1 << (bits - 1)) + lowest,
        "WindowWidth": 1 << bits,
    }
    return stored, elements


def dataset(stored: np.ndarray, **elements: Any) -> Dataset:
    """A minimal DX object with uncompressed pixel data; None leaves an element out."""
    bits = 8 * stored.itemsize
    values: dict[str, Any] = {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.826.0.1.3680043.10.2",
        "StudyInstanceUID": STUDY,
        "PatientName": "PHANTOM^SECRET",
        "Modality": "DX",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    values |= elements
    values.setdefault("HighBit", values["BitsStored"] - 1)
    ds = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(ds, keyword, value)
    ds.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def encoded(ds: Dataset, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> bytes:
    """A whole file, its pixel data (uncompressed in `ds`) in a transfer syntax."""
    if syntax in (uid.JPEG2000, uid.JPEGLSNearLossless):
        lossy: dict[str, Any] = {"j2k_psnr": [70]} if syntax == uid.JPEG2000 else {"jls_error": 1}
        ds.compress(syntax, _stored(ds), generate_instance_uid=False, **lossy)
    elif syntax in (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        ds.compress(syntax, _stored(ds), generate_instance_uid=False)
    elif syntax not in NATIVE:
        encapsulated(ds, codestream(_stored(ds), int(ds.BitsStored), syntax))
    elif syntax == uid.ExplicitVRBigEndian and ds.BitsAllocated == 16:
        ds.PixelData = _stored(ds).byteswap().tobytes()
    return written(ds, syntax)


def encapsulated(ds: Dataset, frame: bytes) -> None:
    """Make one encoded frame the pixel data."""
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def written(ds: Dataset, syntax: uid.UID) -> bytes:
    """Preamble, file meta information and data set, its pixel data as they are."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", uid.SecondaryCaptureImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.2"
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


def codestream(stored: np.ndarray, bits: int, syntax: uid.UID) -> bytes:
    """One encoded frame; JPEG holds signed values as their bits, for it knows no sign."""
    if syntax in (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL):
        return bytes(imagecodecs.htj2k_encode(stored, reversible=True))
    if syntax == uid.HTJ2K:
        return bytes(imagecodecs.htj2k_encode(stored, level=0.0005, reversible=False))
    codes = stored.view(f"u{stored.itemsize}") & ((1 << bits) - 1)
    lossless = {uid.JPEGLossless: 6, uid.JPEGLosslessSV1: 1}
    if syntax in lossless:
        return bytes(
            imagecodecs.jpeg8_encode(
                codes, lossless=True, predictor=lossless[syntax], bitspersample=max(bits, 2)
            )
        )
    depth = 8 if syntax == uid.JPEGBaseline8Bit else 12
    return bytes(imagecodecs.jpeg8_encode(codes, level=100, bitspersample=depth))


def bare(ds: Dataset, *, implicit: bool = False, little: bool = True) -> bytes:
    """The data set alone: no preamble, no file meta information."""
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = implicit, little
    if not little and ds.BitsAllocated == 16:
        ds.PixelData = _stored(ds).byteswap().tobytes()
    write_dataset(file, ds)
    return file.getvalue()


def deflate_bomb(megabytes: int) -> bytes:
    """A deflated file of some kilobytes whose data set is megabytes of zeros."""
    file = encoded(dataset(np.zeros((2, 2), np.uint8)), uid.DeflatedExplicitVRLittleEndian)
    ds = bare(dataset(np.zeros((2, 2), np.uint8), PatientComments=None))
    start = file[:132] + _file_meta(file)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = deflate.compress(ds) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + head + block * megabytes + deflate.flush(zlib.Z_FINISH)


def _file_meta(file: bytes) -> bytes:
    """(0002,0000) says how long the rest of the file meta information is."""
    return file[132 : 144 + int.from_bytes(file[140:144], "little")]


def nested(depth: int) -> bytes:
    """Sequences in sequences, around nothing."""
    head = encoded(dataset(np.zeros((2, 2), np.uint8)))
    start = head[:132] + _file_meta(head)
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start + opened * depth + closed * depth


def slow(items: int) -> bytes:
    """A valid file with a sequence of very many empty items: small, and slow to walk through."""
    file = encoded(dataset(np.zeros((2, 2), np.uint8)))
    pixels = file.rindex(b"\xe0\x7f\x10\x00")
    opened = b"\x29\x00\x01\x10SQ\0\0\xff\xff\xff\xff"
    closed = b"\xfe\xff\xdd\xe0\0\0\0\0"
    return file[:pixels] + opened + b"\xfe\xff\x00\xe0\0\0\0\0" * items + closed + file[pixels:]


def _stored(ds: Dataset) -> np.ndarray:
    dtype = f"{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
    count = ds.Rows * ds.Columns
    return np.frombuffer(ds.PixelData, dtype, count).reshape(ds.Rows, ds.Columns)
