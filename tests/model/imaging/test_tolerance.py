"""What a header lacks or has wrong does not end a readable file, and is reported by name."""

import numpy as np
import pytest
from dicom_files import bare, dataset, encapsulated, encoded, image, stored_as, written
from imagecodecs import jpeg2k_encode, jpeg8_encode
from pydicom import Dataset, uid
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from model.errors import ImageError, NotAnImage, UndecodableImage
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from model.imaging.sandbox import read_image_isolated

STORED = np.rint(image(64, 80) * 4095).astype(np.uint16)
EXPLICIT = uid.ExplicitVRLittleEndian
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def with_text(**elements: str) -> bytes:
    """Elements whose text pydicom would refuse to write."""
    ds = dataset(STORED, BitsStored=12)
    for keyword, text in elements.items():
        tag = Tag(keyword)
        value = text.encode() + b" " * (len(text) % 2)
        ds[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    return encoded(ds)


def read(**elements: object) -> Radiograph:
    return read_image(encoded(dataset(STORED, **{"BitsStored": 12} | elements)))


def named(radiograph: Radiograph, keyword: str) -> bool:
    return any(keyword in warning.message for warning in radiograph.warnings)


PLAIN = read()
WINDOWED = read(**WINDOW)


@pytest.mark.parametrize(
    ("center", "width"),
    [
        ("2048,0", "4096,0"),
        ("2048\\", "4096\\"),
        ("[2048, 100]", "[4096, 100]"),
        ("AUTO\\2048", "AUTO\\4096"),
        ("2048 HU", "4096 HU"),
        ("\\2048", "\\4096"),
    ],
)
def test_windows_that_can_be_understood(center, width):
    radiograph = read_image(with_text(WindowCenter=center, WindowWidth=width))
    assert np.array_equal(radiograph.pixels, WINDOWED.pixels)
    assert named(radiograph, "WindowCenter") and named(radiograph, "WindowWidth")


@pytest.mark.parametrize(
    ("center", "width"), [("AUTO", "AUTO"), ("2048", "0"), ("2048", "-1"), ("2048", "")]
)
def test_windows_that_cannot_are_passed_over(center, width):
    radiograph = read_image(with_text(WindowCenter=center, WindowWidth=width))
    assert np.array_equal(radiograph.pixels, PLAIN.pixels)
    assert named(radiograph, "WindowWidth")


def test_slope_and_intercept():
    commas = read_image(with_text(RescaleSlope="2,0", RescaleIntercept="-5,5"))
    assert np.array_equal(commas.pixels, read(RescaleSlope=2, RescaleIntercept=-5.5).pixels)
    zero = read(RescaleSlope=0)
    assert np.array_equal(zero.pixels, PLAIN.pixels)
    assert named(zero, "RescaleSlope")
    assert named(read_image(with_text(RescaleSlope="words")), "RescaleSlope")


def voi(entries: np.ndarray, descriptor: list[int] | None, **elements: object) -> Radiograph:
    item = Dataset()
    if descriptor is not None:
        item.add_new("LUTDescriptor", "US", descriptor)
    if len(entries):
        item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    ds = dataset(STORED, BitsStored=12, **elements)
    ds.VOILUTSequence = [item]
    return read_image(encoded(ds))


LINE = np.arange(4096)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_a_lut_that_fills_less_than_it_states_spans_what_it_fills(bits):
    """As the same LUT with an honest descriptor."""
    entries = LINE >> max(0, 12 - bits) << max(0, bits - 12)
    honest, boasting = voi(entries, [4096, 0, bits]), voi(entries, [4096, 0, 16])
    assert np.array_equal(boasting.pixels, honest.pixels)
    assert boasting.pixels.max() > 0.95
    assert named(boasting, "VOILUTSequence") and not honest.warnings


@pytest.mark.parametrize(
    ("entries", "descriptor"),
    [
        (LINE[:100], [4096, 0, 12]),
        (LINE[:0], [4096, 0, 12]),
        (LINE, None),
        (LINE, [4096]),
        (LINE * 0, [4096, 0, 12]),
    ],
)
def test_a_lut_that_cannot_be_used_makes_room_for_the_window_then_the_percentiles(
    entries, descriptor
):
    windowed = voi(entries, descriptor, **WINDOW)
    assert np.array_equal(windowed.pixels, WINDOWED.pixels)
    assert np.array_equal(voi(entries, descriptor).pixels, PLAIN.pixels)
    assert named(windowed, "VOILUTSequence")


def test_the_second_lut_is_used_where_the_first_cannot_be():
    ds = dataset(STORED, BitsStored=12)
    good = Dataset()
    good.add_new("LUTDescriptor", "US", [4096, 0, 12])
    good.add_new("LUTData", "OW", LINE.astype("<u2").tobytes())
    ds.VOILUTSequence = [Dataset(), good]
    assert np.array_equal(read_image(encoded(ds)).pixels, voi(LINE, [4096, 0, 12]).pixels)


def test_an_unknown_function_is_linear():
    radiograph = read(**WINDOW, VOILUTFunction="USER")
    assert np.array_equal(radiograph.pixels, WINDOWED.pixels)
    assert named(radiograph, "VOILUTFunction")


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 60000, "WindowWidth": 100},
        {"WindowCenter": -500, "WindowWidth": 100},
        {"WindowCenter": 32768, "WindowWidth": 65536},
        {"WindowCenter": 2048, "WindowWidth": 2},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_that_hides_the_image_is_replaced(window, photometric):
    radiograph = read(**window, PhotometricInterpretation=photometric)
    expected = read(PhotometricInterpretation=photometric)
    assert np.array_equal(radiograph.pixels, expected.pixels)
    assert [warning.code for warning in radiograph.warnings] == ["display"]
    assert named(radiograph, "WindowCenter")


def test_a_black_image_stays_black():
    flat = np.full((64, 64), 7, np.uint16)
    assert (read_image(encoded(dataset(flat, **WINDOW))).pixels < 0.01).all()


@pytest.mark.parametrize(
    "keyword", ["SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation", "BitsStored"]
)
def test_what_is_absent_is_taken_as_usual(keyword):
    ds = dataset(STORED, BitsStored=12)
    del ds[keyword]
    radiograph = read_image(encoded(ds))
    assert np.array_equal(radiograph.pixels, PLAIN.pixels)
    assert named(radiograph, keyword)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelRepresentation", 7), ("HighBit", 5), ("BitsStored", 99), ("SamplesPerPixel", 9)],
)
def test_what_cannot_be_is_taken_as_usual(keyword, value):
    radiograph = read(**{"HighBit": 11, keyword: value})
    assert np.array_equal(radiograph.pixels, PLAIN.pixels)
    assert named(radiograph, keyword)


def test_acr_nema():
    """A data set of 1985: implicit, without file meta information, classes or photometry."""
    ds = dataset(STORED, BitsStored=12, PhotometricInterpretation=None, SOPClassUID=None)
    ds.SOPInstanceUID = None
    radiograph = read_image(bare(ds, implicit=True))
    assert np.array_equal(radiograph.pixels, PLAIN.pixels)


def declared_as(ds: Dataset, syntax: uid.UID) -> bytes:
    """A file with plain pixels whose file meta information names another syntax."""
    file = encoded(ds)
    plain, named_syntax = (one.encode() + b"\0" * (len(one) % 2) for one in (EXPLICIT, syntax))
    element = b"\x02\x00\x10\x00UI"
    before = element + len(plain).to_bytes(2, "little") + plain
    assert before in file
    return file.replace(before, element + len(named_syntax).to_bytes(2, "little") + named_syntax)


def test_plain_pixels_under_the_syntax_of_a_codec():
    for syntax in (uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.RLELossless):
        radiograph = read_image(declared_as(dataset(STORED, BitsStored=12), syntax))
        assert np.array_equal(radiograph.pixels, PLAIN.pixels)
        assert [warning.code for warning in radiograph.warnings] == ["encoding"]
    ds = dataset(STORED, BitsStored=12)
    ds.PixelData += b"1234"
    with pytest.raises(UndecodableImage, match="neither that nor"):
        read_image(declared_as(ds, uid.JPEGLosslessSV1))


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless]
)
def test_a_codestream_under_another_syntax(syntax):
    ds = dataset(STORED, BitsStored=12)
    encapsulated(ds, bytes(jpeg8_encode(STORED, lossless=True, predictor=1, bitspersample=12)))
    radiograph = read_image(written(ds, syntax))
    assert np.array_equal(radiograph.pixels, PLAIN.pixels)
    assert [warning.code for warning in radiograph.warnings] == ["encoding"]


def test_ge_private_syntax_in_either_byte_order():
    for order in ("<u2", ">u2"):
        ds = dataset(STORED, BitsStored=12)
        ds.PixelData = STORED.astype(order).tobytes()
        file = written(ds, uid.ImplicitVRLittleEndian)
        private = b"1.2.840.113619.5.2"
        file = file.replace(b"1.2.840.10008.1.2\0", private)
        assert private in file
        radiograph = read_image(file)
        assert np.array_equal(radiograph.pixels, PLAIN.pixels)
        assert [warning.code for warning in radiograph.warnings] == ["encoding"]


@pytest.mark.parametrize("precision", [10, 12, 14])
def test_jpeg_2000_of_fewer_bits_than_a_signed_header_says(precision):
    """The codestream's sign bit counts, not the header's."""
    values = np.rint((image(64, 80) - 0.5) * ((1 << precision) - 2)).astype(np.int16)
    codes = values.view(np.uint16) & np.uint16((1 << precision) - 1)
    stream = bytes(
        jpeg2k_encode(codes, level=0, reversible=True, codecformat="j2k", bitspersample=precision)
    )
    window = {"WindowCenter": 0, "WindowWidth": 1 << precision}
    ds = dataset(values, **window)
    expected = read_image(encoded(ds)).pixels
    encapsulated(ds, stream)
    shown = read_image(written(ds, uid.JPEG2000Lossless)).pixels
    assert np.abs(shown - expected).max() < 1e-6


def test_jpeg_2000_of_signed_samples_under_an_unsigned_header():
    signed = (STORED.astype(np.int32) - 2048).astype(np.int16)
    ds = dataset(signed, BitsStored=12, **{"WindowCenter": 0, "WindowWidth": 4096})
    file = encoded(ds, uid.JPEG2000Lossless)
    assert np.abs(read_image(file).pixels - WINDOWED.pixels).max() < 1e-6


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        (uid.GrayscaleSoftcopyPresentationStateStorage, "DX"),
        (uid.EncapsulatedPDFStorage, "CR"),
        (uid.BasicTextSRStorage, "DX"),
        (uid.KeyObjectSelectionDocumentStorage, "KO"),
        (uid.RTPlanStorage, "RTPLAN"),
        (None, "PR"),
    ],
)
def test_an_object_without_an_image_is_of_a_kind_of_its_own(sop_class, modality):
    ds = dataset(STORED, SOPClassUID=sop_class, Modality=modality)
    for keyword in ("PixelData", "Rows", "Columns"):
        del ds[keyword]
    with pytest.raises(NotAnImage, match="without an image"):
        read_image(written(ds, uid.ExplicitVRLittleEndian))


def test_warnings_survive_the_sandbox():
    file = with_text(WindowCenter="2048,0", WindowWidth="AUTO")
    assert read_image(file).warnings
    assert read_image_isolated(file).warnings == read_image(file).warnings


def test_no_message_names_a_python_error():
    rng = np.random.default_rng(5)
    file = encoded(dataset(STORED, BitsStored=12, **WINDOW))
    start = file.index(b"\x08\x00\x16\x00")
    for _ in range(150):
        damaged = bytearray(file)
        for position in rng.integers(start, start + 400, 3):
            damaged[position] = rng.integers(256)
        try:
            messages = [warning.message for warning in read_image(bytes(damaged)).warnings]
        except ImageError as error:
            messages = [str(error)]
        for message in messages:
            assert not any(word in message for word in ("Error", "Exception", "SECRET"))


def test_the_phantom_of_the_tests_raises_no_warning():
    for bits in (8, 12, 16):
        stored, elements = stored_as(image(), bits=bits)
        assert read_image(encoded(dataset(stored, **elements))).warnings == ()
