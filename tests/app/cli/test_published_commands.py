"""Every command on a published checkpoint: a report generator that CrossRay did not train."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from material import chest, put
from prepared_folder import write_prepared
from published import published, radiograph

from data_prep.manifest import read_studies, write_studies
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "vit-gpt2"
    return published(folder, "vit", "gpt2", talkative=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared blobs, of which all studies that are not for training are for testing."""
    folder = write_prepared(tmp_path_factory.mktemp("blobs") / "prepared", 20)
    studies = [
        replace(s, split="test" if s.split == "validate" else "train") for s in read_studies(folder)
    ]
    write_studies(folder, studies)
    (folder / "prepared.json").write_text('{"source": "blobs"}')
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{k}.png": cv2.imencode(".png", chest(k, 300, 260))[1].tobytes() for k in range(2)}
    return put(tmp_path_factory.mktemp("images"), files)


def results(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_evaluate_then_score(run: Callable, model, data, tmp_path, without_java) -> None:
    predictions, out = tmp_path / "reports.json", tmp_path / "out.json"
    code, text, error = run(
        *("evaluate", model, data, "--split", "test", "--json", out),
        *("--predictions", predictions, "--card", tmp_path / "card"),
    )
    assert code == 0, error
    assert "bleu_4" in text and results(out)
    assert len(results(predictions)) == sum(s.split == "test" for s in read_studies(data))
    code, text, error = run("score", predictions, data, "--split", "test")
    assert code == 0 and "bleu_4" in text, error


def test_grounding_leaves_out_what_needs_to_see_inside(run, model, data, tmp_path) -> None:
    out = tmp_path / "out.json"
    code, text, error = run("grounding", model, data, "--json", out, "--images", tmp_path / "sheet")
    assert code == 0, error
    assert "late layers" in text and results(out)
    code, _, error = run("grounding", model, data, "--methods", "rollout")
    assert code == 2 and "rollout" in error


def test_robustness(run: Callable, model, data) -> None:
    code, text, error = run("robustness", model, data, "--studies", 2)
    assert code == 0 and "noise" in text, error


def test_rexrank(run: Callable, model, images, tmp_path) -> None:
    cases = {
        name: {"image_path": [f"{name}.png"], "report": "Normal.", "context": "Cough."}
        for name in ("0", "1")
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    out = tmp_path / "out.json"
    code, text, error = run("rexrank", tmp_path / "cases.json", out, images, "--model", model)
    assert code == 0, text + error
    assert all(case["model_prediction"] for case in results(out).values())


def test_lungs(run: Callable, model, images) -> None:
    code, text, error = run("lungs", images, "--model", model)
    assert code == 0 and "lungs" in text, error


def test_batch(run: Callable, model, images, tmp_path) -> None:
    code, text, error = run("batch", images, "--out", tmp_path / "out", "--model", model)
    assert code == 0, text + error
    assert len(list((tmp_path / "out").rglob("report.json"))) == 2


def test_report_and_ask(run: Callable, model, images, tmp_path) -> None:
    code, text, error = run("report", images / "0.png", "--model", model, "--beams", 3)
    assert code == 0 and text.strip(), error
    code, text, error = run("ask", images / "0.png", "left pleural effusion", "--model", model)
    assert code == 0 and "left pleural effusion" in text, error


def test_calibrate_makes_it_say_what_is_grounded(run: Callable, model, data, tmp_path) -> None:
    folder = tmp_path / "own"
    code, _, error = run("import-checkpoint", model, folder)
    assert code == 0, error
    before = ReportGenerator.load(folder)
    code, text, error = run("calibrate", folder, data)
    assert code == 0 and "grounded_share" in text, error
    after = ReportGenerator.load(folder)
    given = radiograph(3)
    one, other = (each(given, input_check=False) for each in (before, after))
    assert one.text == other.text
    assert {word.state for word in one.words} == {"unknown"}
    assert {word.state for word in other.words} <= {"grounded", "not grounded"}
    assert "which words are grounded is unknown" in before.notice
    assert "calibrated its probabilities" in after.notice
    assert after.model.config.novelty_threshold > 0
    blob = cv2.imread(str(data / "images" / "1.png"), cv2.IMREAD_UNCHANGED) / 255
    known = after(Radiograph(blob.astype("float32"), "PA"), input_check=False)
    stripes = (np.indices(blob.shape)[0] % 8 < 4).astype("float32")
    unlike = after(Radiograph(stripes, "PA"), input_check=False)
    assert "out_of_distribution" in {w.code for w in unlike.warnings[0]}
    assert "out_of_distribution" not in {w.code for w in known.warnings[0]}
