"""Published checkpoints of every architecture behind the service, as its page asks it."""

import base64
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from published import ARCHITECTURES, published, published_by_hand
from published_llava import published_llava

from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

BY_HAND = [("convnext", "gpt2"), ("cvt", "bert")]
DECODER_ONLY = [("clip", "llama")]
ALL = {"input_check": "false", "pixels": "true"}


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *BY_HAND, *DECODER_ONLY], ids="-".join)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("-".join(request.param))
    if request.param in BY_HAND:
        published_by_hand(folder, request.param[0])
    elif request.param in DECODER_ONLY:
        published_llava(folder, *request.param)
    else:
        published(folder, *request.param, talkative=True)
    settings = Settings(model=folder)
    with TestClient(create_app(settings, ReportGenerator.load(folder))) as opened:
        yield opened


def test_a_report_with_a_map_for_every_word(client: TestClient, make_png: Callable) -> None:
    answer = client.post("/v1/reports", params=ALL, files={"files": make_png(1)})
    assert answer.status_code == 201, answer.text
    report = answer.json()
    assert report["words"], "an empty report shows nothing"
    assert "license mit" in report["notice"]
    [image] = report["images"]
    assert (image["rows"], image["columns"]) == (4, 4)
    for word in report["words"]:
        assert word["state"] == "unknown"
        assert report["text"][word["start"] : word["end"]] == word["text"]
        heatmap = word["heatmap"]
        shares = np.frombuffer(base64.b64decode(heatmap["data"]), np.uint8) * heatmap["scale"]
        assert shares.shape == (16,)
        assert abs(shares.sum() - word["attention"]) < 16 * heatmap["scale"]


def test_asking(client: TestClient, make_png: Callable) -> None:
    fields = {"phrase": "cardiomegaly"}
    answer = client.post("/v1/questions", params=ALL, data=fields, files={"files": make_png(2)})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] in ("unknown", "not grounded")
    assert answer.json()["probability"] is None, "nothing was calibrated"


def test_what_it_does_not_read_is_refused(client: TestClient, make_png: Callable) -> None:
    """Several images, a lateral view, an indication: and the model says so beforehand."""
    model = client.get("/v1/model").json()
    assert (model["views"], model["prompt_tokens"]) == (["frontal"], 0)
    two = [("files", make_png(1)), ("files", make_png(2))]
    cases = (
        ({}, two, "one image a study"),
        ({"views": "LATERAL"}, two[:1], "lateral view: this model reads frontal"),
        ({"indication": "Cough."}, two[:1], "reads no indication"),
    )
    for fields, files, words in cases:
        answer = client.post("/v1/reports", params=ALL, data=fields, files=files)
        assert answer.status_code in (415, 422), answer.text
        assert words in answer.json()["detail"]
