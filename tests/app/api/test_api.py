"""The API: what is answered, how every error is told, and what a stranger cannot do."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from material import NOTICE, REPORT
from paths import ROOT
from problem import assert_problem

from app.accounts.roles import LOCAL
from app.api.middleware import SECURITY_HEADERS
from app.api.options import Options
from app.api.problems import PROBLEMS, kind_of
from app.api.schemas import ReportAnswer
from app.api.service import Service
from app.api.turns import STUDIES_DECODED
from app.main import create_app
from app.sent import Sent
from app.settings import Settings, load_settings
from model import errors
from model.errors import ConfigError
from model.generator import EMBEDDED, ReportGenerator

DOCS = ROOT / "docs" / "reference" / "rest-api.md"


@pytest.fixture(scope="module")
def client(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    settings = Settings(max_request_bytes=2**20, max_files=3)
    with TestClient(create_app(settings, tiny_generator)) as client:
        yield client


def post(client: TestClient, *files: bytes, query: str = "") -> object:
    return client.post(f"/v1/reports{query}", files=[("files", ("a file", f)) for f in files])


def test_a_study_of_two_views_gets_one_report(
    client: TestClient, make_dicom: Callable, make_png: Callable
) -> None:
    response = post(client, make_dicom(), make_png(height=100, width=100))
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    answer = ReportAnswer.model_validate(response.json())
    assert answer.text == REPORT
    assert len(answer.sentences) == 4
    assert [section.name for section in answer.sections] == ["findings", "impression"]
    for part in [*answer.sections, *answer.words, *answer.sentences, *answer.findings]:
        assert answer.text[part.start : part.end] == part.text
    assert [(i.width, i.height, i.view) for i in answer.images] == [
        (64, 80, "PA"),
        (100, 100, None),
    ]
    assert answer.model.name == "crossray-tiny" and len(answer.model.sha256) == 64
    assert answer.notice == NOTICE


def test_the_extent_covers_the_image(client: TestClient, make_png: Callable) -> None:
    # Narrower than any chest: without the input check.
    response = post(client, make_png(height=80, width=40), query="?input_check=false")
    [image] = response.json()["images"]
    extent = image["extent"]
    assert extent["width"] == pytest.approx(80) and extent["height"] == pytest.approx(80)
    assert extent["left"] == pytest.approx(-20) and extent["top"] == pytest.approx(0)


def test_all_maps_come_only_when_asked_for(client: TestClient, make_png: Callable) -> None:
    """What is not grounded stays so: only what it attended to is told."""
    plain = post(client, make_png()).json()
    whole = post(client, make_png(), query="?maps=all").json()
    assert [w["heatmap"] for w in plain["words"] if w["state"] != "not grounded"] == [
        w["heatmap"] for w in whole["words"] if w["state"] != "not grounded"
    ]
    for part in ("words", "sentences"):
        for one, other in zip(plain[part], whole[part], strict=True):
            assert (one["state"], one["attention"]) == (other["state"], other["attention"])
            assert (one["heatmap"] is None) == (one["state"] == "not grounded")
            shares = np.frombuffer(base64.b64decode(other["heatmap"]["data"]), np.uint8)
            assert shares.sum() * other["heatmap"]["scale"] == pytest.approx(
                other["attention"], abs=shares.size * other["heatmap"]["scale"] / 2
            )
    assert_problem(post(client, make_png(), query="?maps=most"), 422, "invalid-request")


def test_pixels_come_only_when_asked_for(client: TestClient, make_png: Callable) -> None:
    file = make_png(height=1500, width=600)
    [without] = post(client, file, query="?input_check=false").json()["images"]
    [image] = post(client, file, query="?input_check=false&pixels=true").json()["images"]
    assert without["png"] is None
    decoded = cv2.imdecode(
        np.frombuffer(base64.b64decode(image["png"]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert decoded.dtype == np.uint8
    assert decoded.shape == (1024, 410)


def test_the_same_study_gets_the_same_answer(client: TestClient, make_dicom: Callable) -> None:
    assert post(client, make_dicom()).content == post(client, make_dicom()).content


@pytest.mark.parametrize(
    ("content", "status", "name"),
    [
        (b"<!doctype html><title>Log in</title>", 415, "not-an-image"),
        (b"", 422, "undecodable"),
        (b"\x89PNG\r\n\x1a\n broken off", 422, "undecodable"),
    ],
)
def test_what_is_no_image_is_refused(
    client: TestClient, content: bytes, status: int, name: str
) -> None:
    problem = assert_problem(post(client, content), status, name)
    assert "file 1" in problem["detail"]


def test_a_truncated_dicom_is_undecodable(client: TestClient, make_dicom: Callable) -> None:
    assert_problem(post(client, make_dicom()[:-4000]), 422, "undecodable")


def test_a_ct_is_not_a_radiograph(client: TestClient, make_dicom: Callable) -> None:
    ct = make_dicom(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    problem = assert_problem(post(client, make_dicom(), ct), 422, "not-a-radiograph")
    assert "file 2" in problem["detail"]


def test_sixty_megapixels_are_too_large(client: TestClient) -> None:
    _, png = cv2.imencode(".png", np.zeros((7746, 7746), np.uint8))
    assert png.nbytes < 2**20
    assert_problem(post(client, png.tobytes()), 413, "too-large")


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    assert_problem(post(client, bytes(2**20 + 1)), 413, "too-large")


def test_a_body_over_the_limit_is_refused_without_its_length(client: TestClient) -> None:
    """In chunks nothing announces the length, so it is counted as it comes."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
        for _ in range(64):
            sent += 1
            yield bytes(2**16)

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    response = client.post("/v1/reports", content=chunks(), headers=kind)
    assert_problem(response, 413, "too-large")


def test_too_many_files_are_refused(client: TestClient, make_png: Callable) -> None:
    assert_problem(post(client, *[make_png()] * 4), 413, "too-many-files")


@pytest.mark.parametrize(
    ("arguments", "status", "name"),
    [
        ({}, 422, "invalid-request"),
        ({"data": {"files": "Zanzibar^Quillfeather"}}, 422, "invalid-request"),
        ({"json": {"files": []}}, 422, "invalid-request"),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "bad-request",
        ),
    ],
)
def test_a_request_without_files_is_not_valid(
    client: TestClient, arguments: dict, status: int, name: str
) -> None:
    response = client.post("/v1/reports", **arguments)
    assert_problem(response, status, name)
    assert "Quillfeather" not in response.text


def test_a_wrong_query_is_not_valid(client: TestClient, make_png: Callable) -> None:
    response = post(client, make_png(), query="?pixels=perhaps")
    assert_problem(response, 422, "invalid-request")
    assert "perhaps" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nothing/here", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("POST", "/nothing", 404, "not-found"),
        ("GET", "/../pyproject.toml", 404, "not-found"),
        ("GET", "/%2e%2e/settings.py", 404, "not-found"),
        ("GET", "/v1/reports", 405, "method-not-allowed"),
        ("POST", "/livez", 405, "method-not-allowed"),
        ("DELETE", "/docs.js", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(
    client: TestClient, method: str, path: str, status: int, name: str
) -> None:
    response = client.request(method, path)
    assert_problem(response, status, name)
    assert ("allow" in response.headers) == (status == 405)


def test_every_image_error_has_its_answer() -> None:
    for name in errors.__all__:
        cls = getattr(errors, name)
        if issubclass(cls, errors.ImageError) and cls is not errors.ImageError:
            assert kind_of(cls("")).status in {413, 415, 422}


def test_a_fault_of_ours_says_nothing_of_itself(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    """A service whose loaded model has lost its network fails inside, and keeps it to itself."""

    class Faulty(ReportGenerator):
        def _encode(self, inputs: object) -> object:
            return object().memory

    faulty = Faulty(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.identity)
    app = create_app(Settings(), faulty)
    response = post(TestClient(app), make_png())
    problem = assert_problem(response, 500, "internal")
    assert "object" not in json.dumps(problem)


def test_the_queue_is_bounded(tiny_generator: ReportGenerator, make_png: Callable) -> None:
    app = create_app(Settings(queue=1), tiny_generator)
    with TestClient(app) as client:
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(app.state.service.admit("report"))
            response = post(client, make_png())
            assert_problem(response, 503, "busy")
            assert int(response.headers["retry-after"]) > 0
            assert client.get("/livez").status_code == 200
        assert post(client, make_png()).status_code == 201


def test_the_process_is_alive_while_studies_wait(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    app = create_app(Settings(), tiny_generator)
    service = app.state.service
    answers = []
    with TestClient(app) as client:
        with ExitStack() as stack:
            for _ in range(STUDIES_DECODED):
                stack.enter_context(service.turns.in_memory("report"))
            waiting = [
                threading.Thread(target=lambda: answers.append(post(client, make_png())))
                for _ in range(4)
            ]
            for thread in waiting:
                thread.start()
            assert client.get("/livez").json() == {"status": "alive"}
            assert client.get("/docs.css").status_code == 200
        for thread in waiting:
            thread.join()
    assert [answer.status_code for answer in answers] == [201] * 4


def test_a_study_that_waits_is_not_decoded(tiny_generator: ReportGenerator) -> None:
    """Its pixels would be memory; what is wrong with it is found when its turn has come."""
    service = Service(Settings(), tiny_generator)
    files, ended = [BytesIO(b"no image")], []

    def report() -> None:
        with pytest.raises(errors.UnsupportedImage):
            service.report(Sent(files), Options(), LOCAL)
        ended.append(True)

    with ExitStack() as stack:
        for _ in range(STUDIES_DECODED):
            stack.enter_context(service.turns.in_memory("report"))
        waiting = threading.Thread(target=report)
        waiting.start()
        waiting.join(0.3)
        assert files[0].tell() == 0 and not ended
    waiting.join()
    assert files[0].tell() > 0 and ended


def test_not_ready_until_the_model_is_loaded(tiny_checkpoint: Path, make_png: Callable) -> None:
    app = create_app(Settings(model=tiny_checkpoint))
    client = TestClient(app)  # its start-up, which loads, has not run
    assert client.get("/livez").status_code == 200
    for response in (client.get("/readyz"), client.get("/v1/model"), post(client, make_png())):
        assert_problem(response, 503, "not-ready")
    app.state.service.load()
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/v1/model").json()["name"] == "crossray-tiny"


def test_start_up_loads_the_model(tiny_checkpoint: Path) -> None:
    app = create_app(Settings(model=tiny_checkpoint))
    with TestClient(app):
        pass
    assert app.state.service.failure is None
    assert app.state.service.describe().notice == NOTICE


def test_headers_keep_the_page_safe(client: TestClient) -> None:
    for path in ("/", "/docs", "/docs.js", "/livez", "/nothing"):
        response = client.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
        assert len(response.headers["x-request-id"]) == 36


def test_metrics_count_by_route_not_by_path(client: TestClient, make_png: Callable) -> None:
    post(client, make_png())
    post(client, b"nothing known")
    client.get("/nothing/Quillfeather")
    text = client.get("/metrics").text
    assert 'crossray_requests_total{method="POST",route="/v1/reports",status="201"}' in text
    assert 'crossray_decode_failures_total{type="not-an-image"}' in text
    assert 'route="none",status="404"' in text
    assert "crossray_generate_seconds_count" in text
    assert "Quillfeather" not in text


def test_each_application_counts_for_itself(tiny_generator: ReportGenerator) -> None:
    one, other = (TestClient(create_app(Settings(), tiny_generator)) for _ in range(2))
    one.get("/livez")
    assert 'route="/livez"' in one.get("/metrics").text
    assert 'route="/livez"' not in other.get("/metrics").text


def test_openapi_tells_of_every_problem(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    for path in ("/v1/reports", "/v1/questions"):
        operation = description["paths"][path]["post"]
        kept = {"200", "507"} if path == "/v1/reports" else set()
        assert set(operation["responses"]) == kept | {
            *("201", "400", "401", "403", "413", "415", "422", "429", "500", "503")
        }
        for status in ("401", "413", "415", "422", "429", "503"):
            content = operation["responses"][status]["content"]["application/problem+json"]
            assert content["schema"]["$ref"].endswith("/Problem")
        assert "/problems/refused" in operation["responses"]["422"]["description"]
    assert "HTTPValidationError" not in json.dumps(description)


def test_the_docs_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in ("/docs", "/docs.js", "/docs.css"):
        text = client.get(path).text.replace("http://127.0.0.1", "")
        assert "://" not in text and "innerHTML" not in text


def test_docs_list_every_setting_and_problem() -> None:
    text = DOCS.read_text("utf-8")
    for name, field in Settings.model_fields.items():
        [line] = [
            row for row in text.splitlines() if row.startswith(f"| `CROSSRAY_{name.upper()}`")
        ]
        assert field.default is None or f"`{field.default}`" in line
    for kind in PROBLEMS.values():
        assert f"`{kind.type}`" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CROSSRAY_PORT", "eighty"),
        ("CROSSRAY_PORT", "70000"),
        ("CROSSRAY_QUEUE", "-1"),
        ("CROSSRAY_MODEL", "/no/such/folder"),
        ("CROSSRAY_DEVICE", "gpu"),
        ("CROSSRAY_PROT", "8000"),
    ],
)
def test_wrong_settings_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        load_settings()


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSRAY_PORT", "9000")
    monkeypatch.setenv("CROSSRAY_HOST", "::1")
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "::1")


def test_the_page_says_what_the_model_is_before_the_model_does(client: TestClient) -> None:
    [told] = re.findall(r'id="notice"[^>]*>([^<]+)<', client.get("/").text)
    assert told == json.loads((EMBEDDED / "config.json").read_text("utf-8"))["notice"]
