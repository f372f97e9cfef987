"""Answers about images that a reader labeled: the scores are those of the answers."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from paths import ROOT, SHARED
from tiny import tiny_model, tiny_tokenizer

from data_prep.reader_labels import read_reader_labels
from model.checkpoint import save_checkpoint
from model.errors import DataError
from training.evaluation.image_labels import run_answers

DEVICES = ROOT / "tests" / "data" / "hannover_devices.json"
TRAINED = ROOT / "tests" / "data" / "devices_train.json"


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labeled")
    rng = np.random.default_rng(0)
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 255, (40, 30), np.uint8))
    images = {f"{number}.png": ["pacemaker"] if number % 2 else [] for number in range(6)}
    stored = {"findings": ["pacemaker", "nodule"], "images": images}
    (folder / "labels.json").write_text(json.dumps(stored))
    tokenizer = tiny_tokenizer()
    size = tokenizer.get_vocab_size()
    for name, answers in (("answers", True), ("silent", False)):
        model = tiny_model(1, vocab_size=size, max_tokens=60, answers=answers)
        save_checkpoint(folder / name, model, tokenizer, {}, "")
    return folder


def test_each_finding_is_asked_of_each_image(labeled: Path) -> None:
    out = labeled / "scores.json"
    table = run_answers(labeled / "answers", labeled, labeled / "labels.json", out)
    scores = json.loads(out.read_text())
    pacemaker, nodule = scores["findings"]
    assert (pacemaker["finding"], pacemaker["present"], pacemaker["absent"]) == ("pacemaker", 3, 3)
    assert 0 <= pacemaker["auc"]["value"] <= 1
    assert nodule["present"] == 0 and nodule["auc"]["value"] is None
    assert scores["in_distribution"] == {"value": 1, "low": 1, "high": 1, "n": 6}
    assert "pacemaker (3 against 3)" in table


def test_what_cannot_be_measured_is_an_error(labeled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not taught to answer"):
        run_answers(labeled / "silent", labeled, labeled / "labels.json")
    with pytest.raises(DataError, match=r"no '0\.png' in"):
        run_answers(labeled / "answers", tmp_path, labeled / "labels.json")
    file = tmp_path / "labels.json"
    for text in (
        "[]",
        '{"findings": ["nodule"], "images": {"a": ["banana"]}}',
        '{"findings": ["nodule"], "images": {"a": []}, "uncertain": {"b": ["nodule"]}}',
        '{"findings": ["nodule"], "images": {"a": []}, "patients": {"b": "1"}}',
        '{"findings": ["nodule"], "images": {"a": ["nodule"]}, "uncertain": {"a": ["nodule"]}}',
        '{"findings": ["nodule", "nodule"], "images": {"a": []}}',
        '{"findings": ["nodule"], "images": {"a": {"nodule": 0}}}',
        '{"findings": ["nodule", 3], "images": {"a": [3]}}',
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=r"labels\.json"):
            read_reader_labels(file)


def test_the_labels_of_devices_name_images_of_the_collection() -> None:
    labels = read_reader_labels(DEVICES)
    assert len(labels.images) == 60
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared material is not here")
    assert all((SHARED / "data" / name).is_file() for name in labels.images)


def test_no_patient_whose_devices_are_measured_was_trained_on() -> None:
    measured, trained = read_reader_labels(DEVICES), read_reader_labels(TRAINED)
    assert not set(measured.images) & set(trained.images)
    table = SHARED / "data" / "hannover" / "labels.csv"
    if not table.is_file():
        pytest.skip("the shared material is not here")
    with table.open() as rows:
        patient = {
            f"hannover/{r['image']}": f"hannover {r['patient']}" for r in csv.DictReader(rows)
        }
    of_measured = {f"hannover {patient[name]}" for name in measured.images}
    assert not of_measured & set(trained.patients.values())
    assert all((SHARED / "data" / name).is_file() for name in trained.images)


def test_an_uncertain_image_does_not_count(labeled: Path) -> None:
    stored = json.loads((labeled / "labels.json").read_text())
    file = labeled / "uncertain.json"
    file.write_text(json.dumps({**stored, "uncertain": {"0.png": ["pacemaker"]}}))
    out = labeled / "uncertain_scores.json"
    run_answers(labeled / "answers", labeled, file, out)
    pacemaker, nodule = json.loads(out.read_text())["findings"]
    assert (pacemaker["present"], pacemaker["absent"]) == (3, 2)
    assert nodule["absent"] == 6
