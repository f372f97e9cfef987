"""The samples are phantoms of a seed the embedded model never saw, and can be made again."""

import json

import cv2
import numpy as np
import pytest
from paths import ROOT

from data_prep.phantom.study import make_phantom

STATIC = ROOT / "app" / "static"
SAMPLES = json.loads((STATIC / "samples" / "index.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["file"])
def test_a_sample_is_the_phantom_it_says(sample):
    stored = cv2.imread(str(STATIC / sample["file"]), cv2.IMREAD_UNCHANGED)
    made = make_phantom(sample["seed"], sample["index"], stored.shape[0]).images[0].pixels
    # processors round differently in the last place
    assert np.abs(stored / 255 - made).max() < 2 / 255


def test_the_embedded_model_never_saw_them():
    path = ROOT / "model" / "default" / "training.json"
    record, seeds = json.loads(path.read_text("utf-8")), set()
    while record:
        seeds.add(record["data"]["seed"])
        record = record["initial"]
    assert seeds and seeds.isdisjoint(sample["seed"] for sample in SAMPLES)
