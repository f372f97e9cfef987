"""No value of a header reaches a message unless it is a code of the standard's."""

import pytest
from dicom_files import dataset, encoded, image, stored_as, written
from pydicom import uid
from pydicom.sr.codedict import codes

from model.errors import ImageError
from model.imaging.codes import MODALITIES
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image

STORED, ELEMENTS = stored_as(image(), bits=12)
NAME = "DOE JANE"
NUMBER = "1.2.826.0.1.3680043.19450131"
"""A UID of nobody's, with a birth date in it."""


def told(file: bytes) -> str:
    """All that reading a file says of it."""
    try:
        made: Radiograph = read_image(file)
    except ImageError as error:
        return str(error)
    return " ".join(warning.message for warning in made.warnings)


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": NAME},
        {"PhotometricInterpretation": NAME},
        {"VOILUTFunction": NAME},
        {"PresentationLUTShape": NAME},
        {"Modality": "", "SOPClassUID": NUMBER},
        {"Modality": NAME, "SOPClassUID": NUMBER},
        {"ViewPosition": NAME},
        {"PatientOrientation": [NAME, "F"]},
        {"SeriesDescription": NAME, "ViewPosition": None},
    ],
)
@pytest.mark.parametrize("pixels", [True, False])
def test_a_name_in_the_wrong_element_is_not_quoted(elements, pixels) -> None:
    ds = dataset(STORED, **(ELEMENTS | elements))
    if not pixels:
        del ds.PixelData
    message = told(written(ds, uid.ExplicitVRLittleEndian))
    for secret in ("DOE", "JANE", "1945"):
        assert secret not in message


@pytest.mark.parametrize("keyword", ["Modality", "PhotometricInterpretation"])
def test_an_unknown_code_is_called_one(keyword) -> None:
    message = told(encoded(dataset(STORED, **(ELEMENTS | {keyword: NAME}))))
    assert "of an unknown code" in message


def test_an_unknown_transfer_syntax_is_not_quoted() -> None:
    file = encoded(dataset(STORED, **ELEMENTS), uid.ExplicitVRLittleEndian)
    known = uid.ExplicitVRLittleEndian.encode() + b"\0"
    assert file.count(known) == 1
    message = told(file.replace(known, b"1.2.826.0.19450131\0\0"))
    assert "the transfer syntax is of an unknown UID" in message


def test_an_unknown_object_without_an_image_is_not_quoted() -> None:
    ds = dataset(STORED, **(ELEMENTS | {"Modality": "PR", "SOPClassUID": NUMBER}))
    del ds.PixelData
    assert told(written(ds, uid.ExplicitVRLittleEndian)).startswith("modality 'PR'")


@pytest.mark.parametrize("group", ["CID29", "CID33"])
def test_the_modalities_of_the_standard_are_known(group) -> None:
    concepts = getattr(codes, group)
    assert {getattr(concepts, name).value for name in concepts.dir()} <= MODALITIES
