"""No confidence on images the model does not know: no probability and no map, in any output."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from batch_output import rows
from fastapi.testclient import TestClient
from material import put

from app.api.answers import answer, ask_answer
from app.batch.run import run_batch
from app.cli.output import asked_text, report_text
from app.main import create_app
from app.overlays import sheet, word_overlays
from app.settings import Settings
from model.findings import confidence_withheld
from model.generator import ReportGenerator
from model.imaging.radiograph import ImageWarning, Radiograph
from model.imaging.read import read_image

BLANK = cv2.imencode(".png", np.full((80, 64), 90, np.uint8))[1].tobytes()
CONFIDENT = (
    "probability",
    "evidence",
    "attention",
    "heatmap",
    "presence_probability",
    "clause_evidence",
    "matches",
)
"""Names of the API's fields that assert something of the image."""


@pytest.fixture(scope="module")
def lost(tiny_generator: ReportGenerator) -> ReportGenerator:
    """A model to which every image is unlike those it was fitted on; all its words are grounded."""
    model = deepcopy(tiny_generator.model)
    model.config.novelty_threshold, model.config.grounded_share = 1e-9, 0.0
    model.feature_precision.copy_(torch.eye(len(model.feature_precision)))
    return ReportGenerator(model, tiny_generator.tokenizer, tiny_generator.identity)


@pytest.fixture
def chest_image(make_png: Callable[..., bytes]) -> Radiograph:
    return read_image(make_png())


def confident(value: Any) -> list[Any]:
    """All values that stand in an answer under a name of CONFIDENT."""
    if isinstance(value, dict):
        found = [content for name, content in value.items() if name in CONFIDENT]
        return found + [inner for content in value.values() for inner in confident(content)]
    return [inner for item in value for inner in confident(item)] if isinstance(value, list) else []


def test_the_reasons_are_those_for_which_no_calibration_holds() -> None:
    rejected = ImageWarning("not_chest", "", refuses=True)
    unlike = ImageWarning("out_of_distribution", "")
    turned = ImageWarning("rotated", "")
    assert confidence_withheld([(turned,)]) is None
    assert "rejected by the input check" in str(confidence_withheld([(rejected,)]))
    both = str(confidence_withheld([(turned, unlike), (), (rejected, unlike)]))
    assert "image 1 is unlike" in both and "image 3 was rejected" in both and "image 2" not in both


def test_the_api_has_no_number_beside_a_word(
    lost: ReportGenerator, tiny_generator: ReportGenerator, make_png: Callable[..., bytes]
) -> None:
    for generator, image, query in (
        (lost, make_png(), ""),
        (tiny_generator, BLANK, "?input_check=false"),
    ):
        with TestClient(create_app(Settings(), generator)) as client:
            for path, fields in (("reports", {}), ("questions", {"phrase": "effusion"})):
                response = client.post(f"/v1/{path}{query}", files={"files": image}, data=fields)
                told = response.json()
                assert told["probability_withheld"].startswith("Do not rely on this draft")
                assert confident(told) and set(confident(told)) == {None}
                parts = told.get("words", [told])
                assert {part["state"] for part in parts} == {"withheld"}


def test_what_the_model_knows_keeps_its_numbers(
    tiny_generator: ReportGenerator, chest_image: Radiograph
) -> None:
    report = tiny_generator(chest_image)
    told = answer(report, "").model_dump()
    assert report.withheld is None and told["probability_withheld"] is None
    assert all(word["probability"] is not None for word in told["words"])


def test_no_output_draws_or_prints_what_is_withheld(
    lost: ReportGenerator, chest_image: Radiograph, tmp_path: Path, make_png: Callable[..., bytes]
) -> None:
    report = lost(chest_image)
    assert any(word.state == "grounded" for word in report.words)
    assert {finding.presence_probability for finding in report.findings} <= {None}
    assert list(word_overlays(report, [chest_image])) == []
    drawn = sheet(report, [chest_image])
    left = drawn[:, : drawn.shape[1] // 2]
    assert (left.max(axis=2) == left.min(axis=2)).all()  # the radiograph as it is, without colors
    text = report_text(report, "notice")
    assert report.withheld is not None and report.withheld[:40] in text
    assert "*" not in text and "robability 0" not in text and "Least certain" not in text
    found = lost.ask(chest_image, "effusion")
    assert "Probability withheld" in asked_text(found, "notice")
    assert ask_answer(found, "").probability is None
    out = tmp_path / "out"
    run_batch(lost, put(tmp_path / "in", {"a.png": make_png()}), out)
    [row] = rows(out)
    assert "out_of_distribution" in row["warnings"]
    [file] = out.rglob("report.json")
    assert set(confident(json.loads(file.read_text()))) == {None}
