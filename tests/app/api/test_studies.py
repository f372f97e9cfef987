"""The API of studies that are kept."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from events import STREAM, events
from fastapi.testclient import TestClient
from material import PATIENT, REPORT
from problem import assert_problem

from app.main import create_app
from app.settings import Settings
from app.store.audit import verify
from model.generator import ReportGenerator

EDITED = "Findings: The heart is enlarged. The lungs are clear."


@contextmanager
def serving(generator: ReportGenerator, **settings: object) -> Iterator[TestClient]:
    """A service that has begun: its store is open, or could not be opened."""
    with TestClient(create_app(Settings(**settings), generator)) as client:
        service = client.app.state.service
        while not (service.is_ready or service.failure):
            time.sleep(0.01)
        yield client


@pytest.fixture
def client(tiny_generator: ReportGenerator, tmp_path: Path) -> Iterator[TestClient]:
    with serving(tiny_generator, store=tmp_path / "store") as client:
        yield client


@pytest.fixture
def study(client: TestClient, make_dicom: Callable) -> str:
    response = client.post("/v1/reports", files={"files": make_dicom()}, data={"name": "ward 3"})
    assert response.status_code == 201
    return response.json()["study"]


def change(client: TestClient, method: str, path: str, version: int, **body: object) -> object:
    headers = {"If-Match": f'"{version}"'}
    return client.request(method, f"/v1/studies/{path}", json=body, headers=headers)


def test_nothing_is_kept_without_a_store(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    with serving(tiny_generator) as client:
        response = client.post("/v1/reports", files={"files": make_png()})
        assert response.status_code == 201 and response.json()["study"] is None
        for path in ("/v1/studies", "/v1/progress", f"/v1/studies/{'0' * 32}", "/v1/audit"):
            assert_problem(client.get(path), 404, "no-store")


def test_a_report_is_kept_and_comes_back(client: TestClient, study: str) -> None:
    kept = client.get(f"/v1/studies/{study}", params={"pixels": True})
    assert kept.headers["etag"] == '"1"'
    answer = kept.json()
    assert answer["report"]["text"] == answer["draft_text"] == REPORT
    assert answer["report"]["study"] == study
    assert answer["report"]["images"][0]["png"]
    assert (answer["name"], answer["status"], answer["author"]) == ("ward 3", "draft", "model")
    assert answer["accession"] == PATIENT["AccessionNumber"]
    assert answer["patient_name"] is None
    for value in (PATIENT["PatientName"], PATIENT["PatientID"], PATIENT["StudyInstanceUID"]):
        assert value not in kept.text
    [listed] = client.get("/v1/studies").json()["studies"]
    assert listed == {name: answer[name] for name in listed}


def test_the_file_comes_back_as_it_was_sent(
    client: TestClient, study: str, make_dicom: Callable
) -> None:
    response = client.get(f"/v1/studies/{study}/images/1")
    assert response.content == make_dicom()
    assert response.headers["content-type"] == "application/dicom"
    assert response.headers["cache-control"] == "no-store"


def test_edit_review_sign_and_amend(client: TestClient, study: str) -> None:
    response = change(client, "PUT", f"{study}/report", 1, text=EDITED)
    assert response.headers["etag"] == '"2"'
    assert change(client, "POST", f"{study}/review", 2).json()["status"] == "reviewed"
    signed = change(client, "POST", f"{study}/signature", 3, name="Dr. Chief")
    assert signed.json()["disposition"] == "changed"
    change(client, "POST", f"{study}/addenda", 4, name="Dr. Chief", text="Seen again.")
    kept = client.get(f"/v1/studies/{study}").json()
    assert [v["kind"] for v in kept["versions"]] == ["draft", "edit", "review", "sign", "addendum"]
    assert kept["report"]["text"] == EDITED
    [mark] = [EDITED[slice(*span)] for span in kept["marked"]["by_reader"]]
    assert mark == "enlarged"
    assert_problem(change(client, "PUT", f"{study}/report", 5, text="x"), 409, "wrong-status")


def test_two_readers_get_a_conflict_with_both_texts(client: TestClient, study: str) -> None:
    change(client, "PUT", f"{study}/report", 1, text=EDITED)
    response = change(client, "PUT", f"{study}/report", 1, text="Findings: Mine.")
    assert response.status_code == 409
    problem = response.json()
    assert problem["type"] == "/problems/conflict"
    assert problem["current"]["text"] == EDITED and problem["current"]["number"] == 2
    assert problem["yours"] == "Findings: Mine."


@pytest.mark.parametrize("header", [None, "", "x", '"x"'])
def test_a_change_says_which_version_was_read(
    client: TestClient, study: str, header: str | None
) -> None:
    headers = {} if header is None else {"If-Match": header}
    response = client.put(f"/v1/studies/{study}/report", json={"text": "x"}, headers=headers)
    assert_problem(response, 428, "precondition-required")


def test_what_is_typed_is_kept_apart(client: TestClient, study: str) -> None:
    path = f"/v1/studies/{study}/autosave"
    assert client.get(path).json() is None
    assert client.put(path, json={"base": 1, "text": "Findings: Half"}).status_code == 204
    other = client.put(path, params={"editor": "two"}, json={"base": 1, "text": "Other"})
    assert other.status_code == 204
    assert client.get(path).json()["text"] == "Findings: Half"
    assert client.get(path, params={"editor": "two"}).json()["text"] == "Other"
    client.delete(path)
    assert client.get(path).json() is None
    assert client.get(f"/v1/studies/{study}").json()["version"] == 1


def test_marks_are_of_the_text_that_is_sent(client: TestClient, study: str) -> None:
    marks = client.post(f"/v1/studies/{study}/marks", json={"text": EDITED}).json()
    assert [EDITED[slice(*span)] for span in marks["by_reader"]] == ["enlarged"]
    words = client.get(f"/v1/studies/{study}").json()["report"]["words"]
    for start, end, place in marks["draft_words"]:
        assert EDITED[start:end] == words[place]["text"]


def test_exports(client: TestClient, study: str) -> None:
    change(client, "POST", f"{study}/signature", 1, name="Dr. Chief")
    path = f"/v1/studies/{study}/export"
    text = client.get(path, params={"format": "text"})
    assert "The heart is normal in size." in text.text
    assert "Signed by Dr. Chief" in text.text and "Research software" in text.text
    as_json = client.get(path, params={"format": "json"}).json()
    assert as_json["report"]["text"] == REPORT
    for paper in ("a4", "letter"):
        pdf = client.get(path, params={"format": "pdf", "paper": paper})
        assert pdf.content.startswith(b"%PDF-") and pdf.headers["content-type"] == "application/pdf"
        assert "attachment" in pdf.headers["content-disposition"]
    actions = [line["action"] for line in client.get("/v1/audit").json()]
    assert actions.count("exported") == 4
    assert verify(client.app.state.service.store.database).broken is None


def test_what_is_not_there(client: TestClient, study: str) -> None:
    assert_problem(client.get(f"/v1/studies/{'0' * 32}"), 404, "unknown-study")
    assert_problem(client.get(f"/v1/studies/{study}/images/9"), 404, "unknown-study")
    assert_problem(client.get("/v1/studies/..%2f..%2fetc"), 404, "not-found")
    assert_problem(client.get("/v1/studies/nothing"), 422, "invalid-request")
    assert_problem(client.get("/v1/studies", params={"after": "x"}), 422, "invalid-request")


def test_the_patient_is_shown_where_the_operator_wants_it(
    tiny_generator: ReportGenerator, tmp_path: Path, make_dicom: Callable
) -> None:
    with serving(tiny_generator, store=tmp_path / "store", store_patient=True) as client:
        client.post("/v1/reports", files={"files": make_dicom()})
        [listed] = client.get("/v1/studies").json()["studies"]
    assert listed["patient_id"] == PATIENT["PatientID"]
    assert listed["name"] == PATIENT["AccessionNumber"]


def test_a_full_store_is_a_problem_and_keeps_what_it_has(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    with serving(tiny_generator, store=tmp_path / "store", store_quota_bytes=15_000) as client:
        seed = 0
        while (r := client.post("/v1/reports", files={"files": make_png(seed)})).status_code == 201:
            seed += 1
        assert_problem(r, 507, "store-full")
        assert seed > 0 and client.get("/v1/studies").json()["total"] == seed


def test_a_store_of_another_version_is_a_problem(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    with serving(tiny_generator, store=tmp_path / "store") as client:
        engine = client.app.state.service.store.database.engine
        with engine.begin() as raw:
            raw.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with serving(tiny_generator, store=tmp_path / "store") as client:
        assert_problem(client.get("/v1/studies"), 503, "store-version")
        response = client.post("/v1/reports", files={"files": make_png()})
        assert_problem(response, 503, "store-version")
        assert "newer version" in str(client.app.state.service.failure)


def test_progress_is_told_as_events_until_the_service_stops(client: TestClient, study: str) -> None:
    service = client.app.state.service
    plain = client.get("/v1/progress").json()
    service.stopping.set()
    [event] = events(client.get("/v1/progress", headers=STREAM).text)
    assert event["data"] == plain and plain["changed"]
    assert plain["jobs"] == {"queued": 0, "running": 0}


def test_openapi_tells_of_studies(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    operation = description["paths"]["/v1/studies/{study}/report"]["put"]
    assert {"409", "428", "507"} <= set(operation["responses"])
    assert "HTTPValidationError" not in json.dumps(description)
