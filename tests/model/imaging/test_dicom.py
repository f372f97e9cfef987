"""Laws of reading DICOM: every encoding of one image gives the same pixels, shown as it says."""

import numpy as np
import pytest
from dicom_files import (
    LOSSLESS,
    LOSSY,
    NATIVE,
    STUDY,
    bare,
    dataset,
    deflate_bomb,
    encapsulated,
    encoded,
    image,
    nested,
    stored_as,
    written,
)
from imagecodecs import jpeg8_encode
from paths import SHARED
from pydicom import config, uid
from pydicom.dataelem import DataElement

from model.errors import ImageError, ImageTooLarge, NotARadiograph, UndecodableImage
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.read import read_image

SHOWN = image()
KINDS = [
    pytest.param(bits, signed, inverted, id=f"{bits}{'is' if signed else 'u'}{1 + (not inverted)}")
    for bits in (8, 10, 12, 16)
    for signed in (False, True)
    for inverted in (False, True)
]


def name(syntax: uid.UID) -> str:
    return syntax.keyword


def quantised(bits: int) -> np.ndarray:
    top = (1 << bits) - 1
    return np.rint(SHOWN * top) / top


@pytest.mark.parametrize(("bits", "signed", "inverted"), KINDS)
@pytest.mark.parametrize("syntax", NATIVE + LOSSLESS, ids=name)
def test_every_lossless_encoding_gives_the_same_pixels(syntax, bits, signed, inverted):
    stored, elements = stored_as(SHOWN, bits=bits, signed=signed, inverted=inverted)
    radiograph = read_image(encoded(dataset(stored, **elements), syntax))
    assert radiograph.pixels.dtype == np.float32
    assert np.abs(radiograph.pixels - quantised(bits)).max() < 1e-6
    assert radiograph.view == "PA"


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        (uid.JPEGBaseline8Bit, 8),
        (uid.JPEGExtended12Bit, 12),
        (uid.JPEGExtended12Bit, 10),
        (uid.JPEGLSNearLossless, 8),
        (uid.JPEGLSNearLossless, 12),
        (uid.JPEG2000, 8),
        (uid.JPEG2000, 16),
        (uid.HTJ2K, 16),
    ],
)
def test_every_lossy_encoding_gives_nearly_the_same_pixels(syntax, bits, inverted):
    stored, elements = stored_as(SHOWN, bits=bits, inverted=inverted)
    shown = read_image(encoded(dataset(stored, **elements), syntax)).pixels
    assert np.abs(shown - SHOWN).max() < 0.012


def test_every_transfer_syntax_is_tried():
    compressed = (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)
    ends = ["", ".1", ".1.99", ".2", ".5", *(f".4.{number}" for number in compressed)]
    assert {*NATIVE, *LOSSLESS, *LOSSY} == {f"1.2.840.10008.1.2{end}" for end in ends}


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_lossless_jpeg(predictor):
    stored, elements = stored_as(SHOWN, bits=12)
    ds = dataset(stored, **elements)
    encapsulated(ds, jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=12))
    shown = read_image(written(ds, uid.JPEGLossless)).pixels
    assert np.abs(shown - quantised(12)).max() < 1e-6


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("bits", [8, 12])
def test_preamble_and_file_meta_may_be_missing(implicit, little, bits):
    stored, elements = stored_as(SHOWN, bits=bits)
    file = bare(dataset(stored, **elements), implicit=implicit, little=little)
    assert np.abs(read_image(file).pixels - quantised(bits)).max() < 1e-6


def test_the_preamble_alone_may_be_missing():
    stored, elements = stored_as(SHOWN, bits=12)
    file = encoded(dataset(stored, **elements), uid.DeflatedExplicitVRLittleEndian)
    assert np.array_equal(read_image(file[132:]).pixels, read_image(file).pixels)


STEPS = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("PA", "PA"),
        ("AP", "AP"),
        ("LL", "LATERAL"),
        ("RL", "LATERAL"),
        ("LATERAL", "LATERAL"),
        ("LLO", None),
        ("", None),
        (None, None),
    ],
)
def test_views(position, view):
    assert read_image(encoded(dataset(STEPS, ViewPosition=position))).view == view


@pytest.mark.parametrize("study", ["../../etc/x", "1.2..3", "1.02", "1." * 40 + "1", "", None])
def test_a_study_uid_that_is_none_costs_nothing(study):
    expected = read_image(encoded(dataset(STEPS))).pixels
    ds = dataset(STEPS, StudyInstanceUID=None)
    if study is not None:
        ds[0x0020000D] = DataElement(
            0x0020000D, "UI", study, validation_mode=config.IGNORE, already_converted=True
        )
    assert np.array_equal(read_image(encoded(ds)).pixels, expected)


def test_study_uids_are_not_shown():
    assert STUDY not in str(vars(read_image(encoded(dataset(STEPS)))))


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "DR", "OT", None])
def test_radiography_is_read(modality):
    assert read_image(encoded(dataset(STEPS, Modality=modality))).pixels.shape == (64, 64)


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "NM", "PT", "MG", "XA", "SR", "RF", "PX"])
def test_other_modalities_are_named(modality):
    with pytest.raises(NotARadiograph, match=f"modality '{modality}'"):
        read_image(encoded(dataset(STEPS, Modality=modality)))


@pytest.mark.parametrize(
    ("elements", "error", "message"),
    [
        ({"Modality": "OT", "SOPClassUID": uid.CTImageStorage}, NotARadiograph, "'OT'"),
        ({"NumberOfFrames": 4}, NotARadiograph, "4 frames"),
        ({"PhotometricInterpretation": "HSV"}, NotARadiograph, "'HSV'"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UndecodableImage, "palette"),
        ({"Rows": 8000, "Columns": 7500}, ImageTooLarge, "60.0 megapixels"),
        ({"Rows": 65}, UndecodableImage, "damaged or cut short"),
        ({"Rows": None}, UndecodableImage, "Rows is missing"),
        ({"BitsAllocated": 32}, UndecodableImage, "32 bits allocated"),
        ({"BitsStored": 1}, UndecodableImage, "1 bits stored"),
    ],
)
def test_what_is_wrong_is_named(elements, error, message):
    with pytest.raises(error, match=message):
        read_image(encoded(dataset(STEPS, **elements)))


def test_an_object_without_pixels_is_named():
    ds = dataset(STEPS)
    del ds.PixelData
    with pytest.raises(UndecodableImage, match=r"no \(7FE0,0010\) Pixel Data"):
        read_image(written(ds, uid.ExplicitVRLittleEndian))
    del ds.Rows
    with pytest.raises(UndecodableImage, match="cut short"):
        read_image(written(ds, uid.ExplicitVRLittleEndian))


def test_the_table_of_contents_of_a_disc_is_named():
    ds = dataset(STEPS, SOPClassUID=uid.MediaStorageDirectoryStorage)
    del ds.PixelData, ds.Modality
    with pytest.raises(NotARadiograph, match="DICOMDIR"):
        read_image(written(ds, uid.ExplicitVRLittleEndian))


def test_one_frame_said_aloud_is_one_frame():
    assert read_image(encoded(dataset(STEPS, NumberOfFrames=1))).pixels.shape == (64, 64)


def test_a_codestream_of_another_size_meets_no_decoder():
    small, _ = stored_as(SHOWN, bits=12)
    ds = dataset(small, BitsStored=12)
    encoded(ds, uid.JPEG2000Lossless)
    ds.Rows, ds.Columns = 40, 48
    with pytest.raises(UndecodableImage, match="40 x 48 pixels of 1 components, the header says"):
        read_image(written(ds, uid.JPEG2000Lossless))
    siz = ds.PixelData.index(b"\xff\x4f\xff\x51")
    huge = (30000).to_bytes(4, "big")
    ds.PixelData = ds.PixelData[: siz + 8] + huge * 2 + ds.PixelData[siz + 16 :]
    with pytest.raises(ImageTooLarge, match=r"900\.0 megapixels"):
        read_image(written(ds, uid.JPEG2000Lossless))


def test_deflated_data_are_inflated_up_to_the_limit():
    bomb = deflate_bomb(megabytes=4)
    assert len(bomb) < 20_000
    with pytest.raises(ImageTooLarge, match="more than 2 MiB"):
        read_image(bomb, ReadLimits(max_bytes=2 << 20))


def test_nested_sequences_end_in_an_error():
    with pytest.raises(ImageError):
        read_image(nested(5000))


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS, *LOSSY], ids=name)
def test_a_file_cut_short_is_an_error_wherever_it_is_cut(syntax):
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    stored, elements = stored_as(SHOWN, bits=bits)
    file = encoded(dataset(stored, **elements), syntax)
    # The last 8 bytes may be the delimiter behind an image that is whole.
    for length in {*range(0, len(file) - 8, max(1, len(file) // 40)), len(file) - 9}:
        with pytest.raises(ImageError):
            read_image(file[:length])


# libjpeg may crash outright: tests/test_isolation.py flips its bits in a child process.
@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS[2:]], ids=name)
def test_flipped_bits_give_a_radiograph_or_a_typed_error(syntax):
    stored, elements = stored_as(SHOWN, bits=12)
    file = encoded(dataset(stored, **elements), syntax)
    random = np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(file)
        for position in random.integers(128, len(file), 3):
            damaged[position] ^= 1 << random.integers(8)
        try:
            result = read_image(bytes(damaged))
        except ImageError as error:
            assert "SECRET" not in str(error)
        else:
            assert isinstance(result, Radiograph)
            assert result.pixels.min() >= 0
            assert result.pixels.max() <= 1


REAL = SHARED / "data" / "dicom"
real = pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data/dicom: real radiographs")


@real
def test_real_lossless_encodings_agree_to_the_bit():
    first, *others = (
        read_image(REAL / f"RG3_{kind}.dcm").pixels for kind in ("RLE", "JPLL", "JLSL", "J2KR")
    )
    assert first.shape == (1760, 1760)
    for other in others:
        assert np.array_equal(first, other)


@real
@pytest.mark.parametrize("kind", ["JLSN", "J2KI", "JPLY"])
def test_real_lossy_encodings_nearly_agree(kind):
    lossless, lossy = (read_image(REAL / f"RG3_{k}.dcm").pixels for k in ("RLE", kind))
    assert np.abs(lossless - lossy).mean() < 0.01


@real
def test_every_real_file_is_read():
    paths = sorted(REAL.glob("*.dcm"))
    assert paths
    for path in paths:
        radiograph = read_image(path)
        assert radiograph.view in ("PA", "AP")
        assert radiograph.pixels.min() >= 0
        assert radiograph.pixels.max() <= 1
        assert radiograph.pixels.std() > 0.1


@real
def test_the_real_monochrome1_is_the_inverse_of_its_twin():
    plain, inverse = (
        read_image(REAL / f"chest_cr_{kind}.dcm").pixels
        for kind in ("jpeg_baseline", "monochrome1")
    )
    assert np.abs(plain + inverse - 1).max() < 1e-6
