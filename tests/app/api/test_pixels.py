"""Stored values travel without loss, and say how they are to be shown."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encoded, image, stored_as
from fastapi.testclient import TestClient
from material import PATIENT
from paths import SHARED
from problem import assert_problem
from pydicom import dcmread, uid

from app.api import service
from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

REAL = SHARED / "data" / "dicom" / "RG1_JLSN.dcm"


@pytest.fixture(scope="module")
def client(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        yield client


def unpacked(content: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a client makes of the stream: the description, and every level."""
    pieces = []
    while content:
        [size] = struct.unpack("<I", content[:4])
        assert len(content) >= 4 + size
        pieces.append(content[4 : 4 + size])
        content = content[4 + size :]
    described = json.loads(pieces.pop(0))
    levels = []
    for level in described["levels"]:
        kind = np.dtype(f"<u{level['bytes']}")
        bands = []
        for top in range(0, level["rows"], level["band"]):
            rows = min(level["band"], level["rows"] - top)
            planes = np.frombuffer(zlib.decompress(pieces.pop(0)), np.uint8)
            shape = (rows, level["columns"])
            differences = planes.reshape(level["bytes"], -1).T.copy().view(kind).reshape(shape)
            bands.append(np.cumsum(differences, axis=1, dtype=kind))
        levels.append(np.concatenate(bands))
    assert not pieces
    return described, levels


def values_of(client: TestClient, file: bytes) -> tuple[dict[str, Any], np.ndarray]:
    response = client.post("/v1/pixels", files={"files": ("a", file)})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    described, levels = unpacked(response.content)
    return described, levels[-1].astype(int) + described["lowest"]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_values_are_the_file_s_own(client: TestClient, bits: int, signed: bool) -> None:
    stored, elements = stored_as(image(1100, 61), bits=bits, signed=signed)
    described, values = values_of(client, encoded(dataset(stored, **elements), uid.RLELossless))
    np.testing.assert_array_equal(values, stored)
    assert (described["bits"], described["lowest"]) == (bits, stored.min() if signed else 0)


def test_the_first_level_is_the_image_made_small(client: TestClient) -> None:
    stored, elements = stored_as(image(2048, 1024), bits=12)
    file = encoded(dataset(stored, **elements))
    response = client.post(
        "/v1/pixels", content=file, headers={"content-type": "application/dicom"}
    )
    _, [small, whole] = unpacked(response.content)
    assert small.shape == (512, 256)
    np.testing.assert_array_equal(whole, stored)
    expected = stored.reshape(512, 4, 256, 4).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.5


def test_an_answer_is_of_the_whole_image_at_whatever_resolution_it_was_read(
    client: TestClient,
) -> None:
    stored, elements = stored_as(image(402, 515), bits=12)
    file = encoded(dataset(stored, **elements), uid.JPEG2000Lossless)
    query = "/v1/reports?input_check=false"
    [asked, plain] = (
        client.post(f"{query}&pixels={pixels}", files={"files": ("a", file)}).json()["images"][0]
        for pixels in ("true", "false")
    )
    png = cv2.imdecode(np.frombuffer(base64.b64decode(asked.pop("png")), np.uint8), -1)
    assert png.shape == (402, 515)
    assert plain.pop("png") is None
    # The input check quotes its probabilities.
    del asked["warnings"], plain["warnings"]
    assert asked == plain


def test_what_turns_an_image_upright_turns_its_values(client: TestClient) -> None:
    stored, elements = stored_as(image(), bits=12)
    file = encoded(
        dataset(stored, **elements, PatientOrientation=["F", "R"], ImagerPixelSpacing=[0.2, 0.1])
    )
    described, values = values_of(client, file)
    np.testing.assert_array_equal(values, np.rot90(stored, -1))
    assert described["directions"] == ["L", "F"]
    spacing = described["spacing"]
    assert (spacing["rows"], spacing["columns"], spacing["kind"]) == (0.1, 0.2, "imager")
    assert (described["rows"], described["columns"]) == (40, 48)
    assert (described["height"], described["width"]) == (40, 96)


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({}, None),
        ({"PixelSpacing": [0.2, 0.2]}, "unstated"),
        ({"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}, "calibrated"),
        ({"PixelSpacing": [0.19, 0.19], "ImagerPixelSpacing": [0.2, 0.2]}, "calibrated"),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, "imager"),
        ({"NominalScannedPixelSpacing": [0.2, 0.2]}, "scanned"),
        ({"PixelSpacing": [0, 0]}, None),
    ],
)
def test_a_spacing_says_what_it_is_worth(
    client: TestClient, elements: dict[str, Any], kind: str | None
) -> None:
    stored, rest = stored_as(image(), bits=12)
    described, _ = values_of(client, encoded(dataset(stored, **rest, **elements)))
    assert (described["spacing"] or {"kind": None})["kind"] == kind


def test_every_window_and_table_of_the_file_is_there(client: TestClient) -> None:
    stored, elements = stored_as(image(), bits=12)
    elements |= {
        "WindowCenter": [2048, 900],
        "WindowWidth": [4096, 600],
        "WindowCenterWidthExplanation": ["NORMAL", "LUNG"],
        "VOILUTFunction": "SIGMOID",
    }
    described, _ = values_of(client, encoded(dataset(stored, **elements)))
    named = [(v["function"], v["name"], v["center"], v["width"]) for v in described["voi"]]
    assert named == [("SIGMOID", "NORMAL", 2048, 4096), ("SIGMOID", "LUNG", 900, 600)]
    assert described["shown"] == described["voi"][0]


def test_a_png_of_16_bits_keeps_them(client: TestClient) -> None:
    stored = (image() * 65535).astype(np.uint16)
    described, values = values_of(client, cv2.imencode(".png", stored)[1].tobytes())
    np.testing.assert_array_equal(values, stored)
    assert described["voi"] == [] and described["directions"] is None


def test_a_real_radiograph_arrives_whole(client: TestClient) -> None:
    if not REAL.exists():
        pytest.skip("no shared radiographs here")
    described, values = values_of(client, REAL.read_bytes())
    np.testing.assert_array_equal(values, dcmread(REAL).pixel_array)
    assert (described["bits"], described["inverted"]) == (15, True)
    assert described["directions"] == ["L", "F"] and described["spacing"] is None


def test_nothing_of_the_patient_travels(client: TestClient, make_dicom: Any) -> None:
    described, _ = values_of(client, make_dicom(WindowCenterWidthExplanation="O'HARA^JO"))
    text = json.dumps(described)
    assert not [value for value in (*PATIENT.values(), "HARA") if value in text]


def test_a_bad_file_is_a_problem(client: TestClient, make_png: Any) -> None:
    response = client.post("/v1/pixels", files={"files": ("a", b"<html>")})
    assert_problem(response, 415, "not-an-image")
    two = [("files", ("a", make_png())), ("files", ("b", make_png()))]
    assert_problem(client.post("/v1/pixels", files=two), 422, "invalid-request")


def test_places_are_given_back(client: TestClient, make_png: Any) -> None:
    for _ in range(service.PIXEL_PLACES + 1):
        assert client.post("/v1/pixels", files={"files": ("a", make_png())}).status_code == 200
        assert client.post("/v1/pixels", files={"files": ("a", b"x")}).status_code == 415
    held = client.app.state.service._pixel_places
    for _ in range(service.PIXEL_PLACES):
        assert held.acquire(blocking=False)
    response = client.post("/v1/pixels", files={"files": ("a", make_png())})
    assert_problem(response, 503, "busy")
    held.release(service.PIXEL_PLACES)
