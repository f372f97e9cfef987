"""The words and codes for views, and where a DICOM header has them."""

import numpy as np
import pytest
from dicom_files import dataset, encoded
from pydicom import Dataset
from pydicom.sr.codedict import codes

from model.imaging.read import read_image
from model.imaging.views import view_of_code, view_of_words

STEPS = np.arange(4096, dtype=np.uint16).reshape(64, 64)
LATERALS = "LAT,RLAT,LLAT,L LAT,R LAT,LL,RL,LATERAL,XTABLE LATERAL,X-TABLE LAT,LEFT LATERAL"
LATERALS += ",LAT_L,CHEST LAT,Lateral,lat.,LT LAT,Chest Lateral Erect"


@pytest.mark.parametrize("words", LATERALS.split(","))
def test_words_for_lateral(words):
    assert view_of_words(words) == "LATERAL"


@pytest.mark.parametrize(
    ("words", "view"),
    [
        ("PA", "PA"),
        ("pa", "PA"),
        ("P.A.", "PA"),
        ("POSTERO-ANTERIOR", "PA"),
        ("CHEST PA", "PA"),
        ("PA UPRIGHT", "PA"),
        ("AP", "AP"),
        ("A/P", "AP"),
        ("ANTEROPOSTERIOR", "AP"),
        ("AP AXIAL", "AP"),
        ("PORTABLE AP", "AP"),
        ("AP SUPINE", "AP"),
    ],
)
def test_words_for_frontal_views(words, view):
    assert view_of_words(words) == view


@pytest.mark.parametrize(
    "words",
    [
        *("", "LLD", "RLD", "AP LLD", "LLO", "RLO", "LAO", "PA LLD", "PA AND LATERAL", "OBLIQUE"),
        *("DECUBITUS", "LATERAL DECUBITUS", "PALM", "FRONTAL", "LATERAL OBLIQUE", "SWIMMERS"),
    ],
)
def test_words_for_no_view_that_is_read(words):
    assert view_of_words(words) is None


def test_every_code_of_the_context_group_is_decided():
    """DICOM PS3.16, CID 4010 "DX View", as pydicom has it."""
    expected = {
        "PosteroAnterior": "PA",
        "AnteroPosterior": "AP",
        "LateralProjection": "LATERAL",
        "LeftLateral": "LATERAL",
        "RightLateral": "LATERAL",
        "MedioLateralProjection": "LATERAL",
        "LateralMedial": "LATERAL",
    }
    group = codes.cid4010
    found = {name: view_of_code(getattr(group, name).value) for name in group.dir()}
    assert {name: view for name, view in found.items() if view} == expected


@pytest.mark.parametrize(
    ("code", "view"),
    [("R-10236", "LATERAL"), ("R-10232", "LATERAL"), ("R-10214", "PA"), ("R-10206", "AP")],
)
def test_snomed_rt_is_known_too(code, view):
    assert view_of_code(code) == view


def coded(value: str, **elements: object) -> str | None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "as it may be"
    ds = dataset(STEPS, ViewPosition=None)
    ds.ViewCodeSequence = [item]
    for keyword, given in elements.items():
        setattr(ds, keyword, given)
    return read_image(encoded(ds)).view


def test_a_header_says_its_view_in_one_of_three_places():
    assert coded("399173006") == "LATERAL"
    assert coded("399173006", ViewPosition="") == "LATERAL"
    assert coded("399067008", ViewPosition="PA") == "PA"
    assert read_image(encoded(dataset(STEPS, ViewPosition="XTABLE LATERAL"))).view == "LATERAL"
    for description, view in (("Chest lat", "LATERAL"), ("Chest PA and lateral", None)):
        ds = dataset(STEPS, ViewPosition=None, SeriesDescription=description)
        assert read_image(encoded(ds)).view == view


def test_a_contradiction_is_reported():
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "399173006", "SCT", "lateral"
    ds = dataset(STEPS, ViewPosition="PA")
    ds.ViewCodeSequence = [item]
    radiograph = read_image(encoded(ds))
    assert radiograph.view == "PA"
    assert any("ViewCodeSequence" in warning.message for warning in radiograph.warnings)
