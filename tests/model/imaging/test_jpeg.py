"""Damaged JPEG is an error, wherever it is damaged and whatever holds it."""

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encapsulated, image, written
from imagecodecs import jpeg8_encode
from pydicom import uid

from model.errors import UndecodableImage
from model.imaging.jpeg import decode_jpeg
from model.imaging.read import read_image

rng = np.random.default_rng(3)
TEXTURED = image(96, 120) * 0.8 + rng.normal(0.1, 0.02, (96, 120)).clip(0, 0.2)
GRAY8 = np.rint(TEXTURED * 255).astype(np.uint8)
GRAY12 = np.rint(TEXTURED * 4095).astype(np.uint16)
GRAY16 = np.rint(TEXTURED * 65535).astype(np.uint16)


def with_option(option: int, value: int) -> bytes:
    return cv2.imencode(".jpg", GRAY8, [option, value])[1].tobytes()


STREAMS = {
    "baseline": bytes(jpeg8_encode(GRAY8, level=95)),
    "progressive": with_option(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restart intervals": with_option(cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "color": bytes(jpeg8_encode(np.stack([GRAY8] * 3, axis=2), level=95)),
    "extended, 12 bits": bytes(jpeg8_encode(GRAY12, level=95, bitspersample=12)),
    "lossless, 8 bits": bytes(jpeg8_encode(GRAY8, lossless=True, predictor=1, bitspersample=8)),
    **{
        f"lossless, 12 bits, predictor {k}": bytes(
            jpeg8_encode(GRAY12, lossless=True, predictor=k, bitspersample=12)
        )
        for k in range(1, 8)
    },
    "lossless, 16 bits": bytes(jpeg8_encode(GRAY16, lossless=True, predictor=1, bitspersample=16)),
}
SYNTAXES = {"extended, 12 bits": uid.JPEGExtended12Bit, "baseline": uid.JPEGBaseline8Bit}
every_stream = pytest.mark.parametrize("name", STREAMS)


def entropy_coded(stream: bytes) -> tuple[int, int]:
    """Where the first scan's data begin, and where the end marker stands."""
    scan = stream.index(b"\xff\xda")
    return scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big"), stream.rindex(b"\xff\xd9")


def cut(stream: bytes, share: float) -> bytes:
    """What is left of a stream whose last `share` is gone, made to end as it should."""
    start, end = entropy_coded(stream)
    return stream[: end - max(8, round((end - start) * share))] + b"\xff\xd9"


def in_dicom(stream: bytes, name: str) -> bytes:
    deep = "16" in name or "12" in name
    samples = GRAY16 if "16" in name else GRAY12 if "12" in name else GRAY8
    ds = dataset(samples, BitsStored=12 if "12" in name else 8 * (1 + deep))
    if name == "color":
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "YBR_FULL_422"
    encapsulated(ds, stream)
    return written(ds, SYNTAXES.get(name, uid.JPEGLosslessSV1))


@every_stream
def test_whole_streams_are_read(name):
    decoded = decode_jpeg(STREAMS[name])
    assert decoded.shape[:2] == GRAY8.shape
    read_image(in_dicom(STREAMS[name], name))


@every_stream
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05, 0.02])
def test_a_stream_cut_short_with_an_end_marker_is_damaged(name, share):
    damaged = cut(STREAMS[name], share)
    for file in (damaged, in_dicom(damaged, name)):
        with pytest.raises(UndecodableImage):
            read_image(file)


@every_stream
def test_a_hole_in_a_stream_is_damage(name):
    start, end = entropy_coded(STREAMS[name])
    length = (end - start) // 20
    for share in (0.2, 0.5, 0.8):
        at = start + round((end - start) * share)
        damaged = STREAMS[name][:at] + STREAMS[name][at + length :]
        with pytest.raises(UndecodableImage):
            read_image(damaged)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_a_black_border_at_the_end_is_no_damage(predictor):
    bordered = GRAY12.copy()
    bordered[60:] = 0
    bordered[:, 100:] = 0
    stream = bytes(jpeg8_encode(bordered, lossless=True, predictor=predictor, bitspersample=12))
    assert np.array_equal(decode_jpeg(stream), bordered)
    extended = bytes(jpeg8_encode(bordered, level=95, bitspersample=12))
    assert np.abs(decode_jpeg(extended).astype(int) - bordered).mean() < 40


def test_odd_but_whole_streams_are_read():
    stream = bytearray(STREAMS["baseline"])
    scan = stream.index(b"\xff\xda")
    stream[scan + 9] = 0  # Se: some encoders write 0 where sequential JPEG has 63
    assert np.array_equal(decode_jpeg(bytes(stream)), decode_jpeg(STREAMS["baseline"]))
    trailing = STREAMS["baseline"] + b"\0" * 100
    assert np.array_equal(decode_jpeg(trailing), decode_jpeg(STREAMS["baseline"]))


def test_flipped_bits_are_often_noticed_and_never_crash():
    noticed = 0
    stream = STREAMS["baseline"]
    start, end = entropy_coded(stream)
    for position in np.linspace(start, end - 1, 60).astype(int):
        damaged = bytearray(stream)
        damaged[position] ^= 16
        try:
            decode_jpeg(bytes(damaged))
        except UndecodableImage:
            noticed += 1
    assert noticed > 10
