"""Gray that is stored in color is read as gray, in every container; color is refused."""

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encapsulated, encoded, image, written
from imagecodecs import jpeg8_encode
from pydicom import Dataset, uid

from model.errors import NotARadiograph
from model.imaging.read import read_image

GRAY = np.rint(image(64, 80) * 255).astype(np.uint8)
EQUAL = np.stack([GRAY] * 3, axis=2)
PHOTOGRAPH = np.stack([GRAY, np.roll(GRAY, 9, axis=1), 255 - GRAY], axis=2)


def png(samples: np.ndarray) -> bytes:
    order = [2, 1, 0, 3][: samples.shape[2]]
    return cv2.imencode(".png", samples[:, :, order])[1].tobytes()


def jpeg(samples: np.ndarray) -> bytes:
    """YCbCr with half the chroma's resolution."""
    return bytes(jpeg8_encode(samples, level=98, subsampling="420"))


def color_dataset(samples: np.ndarray, photometric: str, planar: int = 0) -> Dataset:
    elements = {"SamplesPerPixel": 3, "PlanarConfiguration": planar}
    ds = dataset(samples[:, :, 0], PhotometricInterpretation=photometric, **elements)
    stored = np.moveaxis(samples, 2, 0) if planar else samples
    ds.PixelData = np.ascontiguousarray(stored).tobytes()
    return ds


def dicom(samples: np.ndarray, photometric: str = "RGB", planar: int = 0) -> bytes:
    return encoded(color_dataset(samples, photometric, planar))


def dicom_jpeg(samples: np.ndarray) -> bytes:
    ds = color_dataset(samples, "YBR_FULL_422")
    encapsulated(ds, jpeg(samples))
    return written(ds, uid.JPEGBaseline8Bit)


def ybr(samples: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(samples, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]]


def dicom_422(samples: np.ndarray) -> bytes:
    luma, blue, red = np.moveaxis(ybr(samples), 2, 0)
    pairs = [luma[:, ::2], luma[:, 1::2], blue[:, ::2], red[:, ::2]]
    ds = color_dataset(samples, "YBR_FULL_422")
    ds.PixelData = np.stack(pairs, axis=2).tobytes()
    return encoded(ds)


def palette(samples: np.ndarray) -> bytes:
    """Up to 256 colors, each channel of 16 bits."""
    colors, indices = np.unique(samples.reshape(-1, 3), axis=0, return_inverse=True)
    assert len(colors) <= 256
    ds = dataset(
        indices.reshape(samples.shape[:2]).astype(np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
    )
    for channel, name in enumerate(("Red", "Green", "Blue")):
        keyword = f"{name}PaletteColorLookupTable"
        setattr(ds, f"{keyword}Descriptor", [len(colors), 0, 16])
        setattr(ds, f"{keyword}Data", (colors[:, channel].astype("<u2") * 257).tobytes())
    return encoded(ds)


def compressed(syntax: uid.UID):
    def encode(samples: np.ndarray) -> bytes:
        ds = color_dataset(samples, "RGB")
        ds.compress(syntax, samples, generate_instance_uid=False)
        return written(ds, syntax)

    return encode


CONTAINERS = {
    "PNG": png,
    "JPEG": jpeg,
    "DICOM RGB": dicom,
    "DICOM RGB, planar": lambda samples: dicom(samples, planar=1),
    "DICOM YBR_FULL": lambda samples: dicom(ybr(samples), "YBR_FULL"),
    "DICOM YBR_FULL_422": dicom_422,
    "DICOM JPEG": dicom_jpeg,
    "DICOM JPEG 2000": compressed(uid.JPEG2000Lossless),
    "DICOM JPEG-LS": compressed(uid.JPEGLSLossless),
    "DICOM RLE": compressed(uid.RLELossless),
}
every_container = pytest.mark.parametrize("name", CONTAINERS)


@every_container
def test_equal_channels_are_gray(name):
    radiograph = read_image(CONTAINERS[name](EQUAL))
    assert np.abs(radiograph.pixels - GRAY / 255).max() < 0.02
    assert radiograph.pixels.dtype == np.float32


@every_container
def test_noise_in_the_channels_and_a_colored_marker_are_read_with_a_warning(name):
    rng = np.random.default_rng(0)
    noisy = np.clip(EQUAL.astype(int) + rng.integers(-6, 7, EQUAL.shape), 0, 255).astype(np.uint8)
    noisy[4:12, 4:16] = (250, 20, 20)
    radiograph = read_image(CONTAINERS[name](noisy))
    assert [warning.code for warning in radiograph.warnings] == ["color"]
    below = np.abs(radiograph.pixels - GRAY / 255)[20:]
    assert below.mean() < 0.03


@every_container
def test_a_tinted_film_is_read_with_a_warning(name):
    tinted = np.clip(EQUAL * np.array([0.95, 0.98, 1.0]), 0, 255).astype(np.uint8)
    radiograph = read_image(CONTAINERS[name](tinted))
    assert "color" in [warning.code for warning in radiograph.warnings]


@every_container
def test_a_color_photograph_is_refused(name):
    with pytest.raises(NotARadiograph, match="a color image"):
        read_image(CONTAINERS[name](PHOTOGRAPH))


def test_palettes():
    radiograph = read_image(palette(EQUAL))
    assert np.abs(radiograph.pixels - GRAY / 255).max() < 1e-6
    assert not radiograph.warnings
    few = PHOTOGRAPH // 64 * 64
    with pytest.raises(NotARadiograph, match="a color image"):
        read_image(palette(few))
    some = EQUAL.copy() // 2 * 2
    some[:6, :6] = (250, 10, 10)
    assert [w.code for w in read_image(palette(some)).warnings] == ["color"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_alpha_is_composited_on_black(kind):
    top = np.iinfo(kind).max
    samples = (image(64, 80) * top).astype(kind)
    alpha = np.full_like(samples, top)
    alpha[:, :20] = 0
    alpha[:, 20:30] = top // 2
    file = png(np.stack([samples] * 3 + [alpha], axis=2))
    opaque = samples * (alpha / top)
    shown = read_image(file).pixels
    plain = read_image(cv2.imencode(".png", np.rint(opaque).astype(kind))[1].tobytes()).pixels
    assert np.abs(shown - plain).max() < 0.01
    assert (shown[:, :20] == 0).all()


def test_16_bit_color():
    deep = EQUAL.astype(np.uint16) * 257
    assert read_image(png(deep)).warnings == ()
    deep[:, :, 0] = np.minimum(deep[:, :, 0] + np.uint16(900), 65535)
    assert [w.code for w in read_image(png(deep)).warnings] == ["color"]


def test_components_without_a_marker_are_what_the_header_says():
    """A JPEG of red, green and blue that no marker of its own declares."""
    bare = bytes(jpeg8_encode(EQUAL, level=100, colorspace="RGB", outcolorspace="RGB"))
    start = bare.find(b"\xff\xee")
    if start >= 0:
        length = int.from_bytes(bare[start + 2 : start + 4], "big")
        bare = bare[:start] + bare[start + 2 + length :]
    ds = color_dataset(EQUAL, "RGB")
    encapsulated(ds, bare)
    shown = read_image(written(ds, uid.JPEGBaseline8Bit)).pixels
    assert np.abs(shown - GRAY / 255).max() < 0.02
