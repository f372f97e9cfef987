"""Every command on a published checkpoint: a report generator that CrossRay did not train."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from material import chest, put
from prepared_folder import SIZE, write_prepared
from published import published

from data_prep.manifest import read_studies, write_studies


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "vit-gpt2"
    return published(folder, "vit", "gpt2", talkative=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared blobs, of which all studies that are not for training are for testing."""
    from dataclasses import replace

    folder = write_prepared(tmp_path_factory.mktemp("blobs") / "prepared", 12)
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
    assert "BLEU" in text and results(out)
    assert len(results(predictions)) == sum(s.split == "test" for s in read_studies(data))
    code, text, error = run("score", predictions, data, "--split", "test")
    assert code == 0 and "BLEU" in text, error


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


def test_calibrate_says_what_it_works_on(run: Callable, model, data, tmp_path) -> None:
    code, _, error = run("import-checkpoint", model, tmp_path / "own")
    assert code == 0, error
    code, _, error = run("calibrate", tmp_path / "own", data)
    assert code == 2 and "works on networks that CrossRay trained" in error
    assert SIZE
