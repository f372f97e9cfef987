"""The samples are phantoms of a seed the embedded model never saw, and can be made again."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.phantom import make_phantom

STATIC = Path(__file__).parents[1] / "app" / "static"
SAMPLES = json.loads((STATIC / "samples" / "index.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["file"])
def test_a_sample_is_the_phantom_it_says(sample):
    stored = cv2.imread(str(STATIC / sample["file"]), cv2.IMREAD_UNCHANGED)
    made = make_phantom(sample["seed"], sample["index"], stored.shape[0]).pixels
    # processors round differently in the last place
    assert np.abs(stored / 255 - made).max() < 2 / 255


def test_the_embedded_model_never_saw_them():
    record = json.loads((Path(__file__).parents[1] / "model/default/training.json").read_text())
    assert str(SAMPLES[0]["seed"]) not in json.dumps(record.get("data", {}))
