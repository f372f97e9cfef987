"""Numbers in DICOM headers, however they are written."""

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from model.imaging.elements import Elements, tolerant_numbers


@pytest.mark.parametrize(
    ("text", "values", "standard"),
    [
        ("2048", [2048], True),
        (" 2048 \\4096.5 ", [2048, 4096.5], True),
        ("-1.5e3", [-1500], True),
        (".5", [0.5], True),
        ("2047,5", [2047.5], False),
        ("2047,5\\100,25", [2047.5, 100.25], False),
        ("1,234.5", [1234.5], False),
        ("2048\\", [2048], False),
        ("2048\\ ", [2048], False),
        ("\\2048", [None, 2048], False),
        ("[2048]", [2048], False),
        ("[2048, 4096]", [2048, 4096], False),
        ("(2048; 4096)", [2048, 4096], False),
        ("2048 4096", [2048, 4096], False),
        ('"2048"', [2048], False),
        ("2048 HU", [2048], False),
        ("AUTO", [None], False),
        ("1e999", [None], False),
        ("nan", [None], False),
        ("12-34", [None], False),
        ("0x10", [None], False),
        ("", [], False),
        ("\\", [], False),
    ],
)
def test_every_way_to_write_a_number(text, values, standard):
    assert tolerant_numbers(text) == (values, standard)


def element(keyword: str, vr: str, value: bytes) -> Elements:
    ds = Dataset()
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return Elements(ds)


@pytest.mark.parametrize(
    ("vr", "value"),
    [("DS", b"0,5 "), ("FD", b"\0\0\0\0\0\0\xe0\x3f"), ("FL", b"\0\0\0\x3f"), ("UN", b"0.5")],
)
def test_the_value_representation_may_be_another(vr, value):
    assert element("RescaleSlope", vr, value).number("RescaleSlope", 1) == 0.5


def test_a_note_names_the_element_and_quotes_no_text():
    header = element("WindowCenter", "DS", b"DOE^JOHN")
    assert header.number("WindowCenter", 7) == 7
    assert header.number("WindowCenter", 7) == 7
    (note,) = header.notes
    assert note.code == "header_value"
    assert note.message.startswith("WindowCenter ")
    assert "DOE" not in note.message


def test_whole_numbers_of_text():
    assert element("Rows", "IS", b"12 ").integer("Rows") == 12
    assert element("Rows", "US", b"\x0c\0").integer("Rows") == 12
    assert element("Rows", "IS", b"12.5").integer("Rows") is None
    assert element("Rows", "US", b"").integer("Rows") is None
