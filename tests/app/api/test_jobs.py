"""The API of jobs: the report that POST /v1/reports gives, later, and for nobody else."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import page_server
import pytest
from events import events
from fastapi.testclient import TestClient
from metrics import metric
from paths import ROOT
from problem import assert_problem
from sqlalchemy import update

from app.api.job_schemas import JobAnswer
from app.api.turns import STUDIES_DECODED
from app.job_options import JobOptions
from app.jobs.queue import find_job
from app.jobs.records import OPEN
from app.jobs.store import open_jobs
from app.main import create_app
from app.settings import Settings
from app.store.tables import JobRow, JobStudyRow
from model.generator import ReportGenerator
from model.report import Report

BAD = b"no image"


@contextmanager
def serving(generator: ReportGenerator, **settings: object) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(**settings), generator)) as client:
        while client.app.state.service.runner is None:
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="module")
def client(
    tiny_generator: ReportGenerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with serving(tiny_generator, jobs=tmp_path_factory.mktemp("jobs")) as client:
        yield client


def post(client: TestClient, *files: bytes, query: str = "", **arguments: object) -> httpx.Response:
    parts = [("files", ("a file", content)) for content in files]
    return client.post(f"/v1/jobs{query}", files=parts, **arguments)


@contextmanager
def occupied(client: TestClient) -> Iterator[None]:
    """Reports that are being read, so that no job's study is."""
    with ExitStack() as stack:
        for _ in range(STUDIES_DECODED):
            stack.enter_context(client.app.state.service.turns.in_memory("report"))
        yield


def ended(client: TestClient, response: httpx.Response) -> dict:
    """The job once it has ended."""
    assert response.status_code == 202, response.text
    while (answer := client.get(response.headers["location"])).json()["state"] in OPEN:
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.02)
    assert "retry-after" not in answer.headers
    JobAnswer.model_validate(answer.json())
    return answer.json()


def numbered(response: httpx.Response) -> list[tuple[str, int, dict]]:
    """Name, id and data of each event."""
    return [(one["event"], int(one["id"]), one["data"]) for one in events(response.text)]


@pytest.mark.parametrize("query", ["", "?maps=all&input_check=false"])
def test_a_job_gives_the_report_that_a_report_gives(
    client: TestClient, make_dicom: Callable, query: str
) -> None:
    whole = client.post(f"/v1/reports{query}", files={"files": make_dicom()}).json()
    job = ended(client, post(client, make_dicom(), query=query))
    assert (job["state"], job["progress"]) == ("done", {"studies": 1, "done": 1, "failed": 0})
    [study] = job["studies"]
    assert study["report"] == whole and study["problem"] is None
    without = client.get(f"/v1/jobs/{job['id']}?reports=false").json()
    assert without["studies"][0] == {**study, "report": None}


def test_a_body_that_is_one_image_is_a_job(client: TestClient, make_png: Callable) -> None:
    headers = {"Content-Type": "image/png"}
    job = ended(client, client.post("/v1/jobs", content=make_png(), headers=headers))
    assert job["state"] == "done"


def test_a_batch_tells_each_study_apart(
    client: TestClient, make_dicom: Callable, make_png: Callable
) -> None:
    """A study that fails fails as it would alone, and takes none with it."""
    parts = [{"files": 2, "name": "two"}, {"files": 1, "name": "bad"}, {"files": 1, "priors": 1}]
    files = [make_dicom(), make_png(), BAD, make_png()]
    given = [("files", content) for content in files] + [("priors", make_png())]
    response = client.post("/v1/jobs", files=given, data={"studies": json.dumps(parts)})
    job = ended(client, response)
    assert job["progress"] == {"studies": 3, "done": 1, "failed": 2}
    two, bad, prior = job["studies"]
    alone = client.post("/v1/reports", files=[("files", content) for content in files[:2]])
    assert (two["name"], two["report"]) == ("two", alone.json())
    problem = assert_problem(client.post("/v1/reports", files={"files": BAD}), 415, "not-an-image")
    expected = {**problem, "instance": f"/v1/jobs/{job['id']}"}
    assert (bad["report"], bad["problem"]) == (None, expected)
    assert prior["problem"]["type"] == "/problems/not-a-radiograph"  # this model reads no priors


@pytest.mark.parametrize(
    ("studies", "data"),
    [
        ([{"files": 1}], {}),
        ([{"files": 3}], {}),
        ([{"files": 2, "priors": 1}], {}),
        ([{"files": 2, "views": ["PA"]}], {}),
        ([{"files": 2}], {"name": "outside"}),
        ([], {}),
        ([{"files": 2, "pirors": 1}], {}),
    ],
)
def test_a_batch_that_does_not_add_up_is_refused(
    client: TestClient, make_png: Callable, studies: list, data: dict
) -> None:
    data = {**data, "studies": json.dumps(studies)}
    assert_problem(post(client, make_png(), make_png(), data=data), 422, "invalid-request")


def test_metrics_tell_how_jobs_fare(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    with serving(tiny_generator, jobs=tmp_path) as client:
        with occupied(client):
            posted = [post(client, content) for content in (make_png(), make_png(1), BAD)]
            # As many as are read at a time have been begun, and wait for room in memory.
            while any(
                client.get(response.headers["location"]).json()["state"] != "running"
                for response in posted[:2]
            ):
                time.sleep(0.01)
            assert metric(client, "crossray_job_studies_waiting") == 1
        for response in posted:
            ended(client, response)
        assert metric(client, "crossray_job_studies_waiting") == 0
        assert metric(client, "crossray_job_wait_seconds_count") == 3
        for state, studies in (("done", 2), ("failed", 1)):
            assert metric(client, "crossray_job_studies_total", state=state) == studies


def test_a_request_sent_again_is_the_same_job(client: TestClient, make_png: Callable) -> None:
    headers = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
    first = post(client, make_png(), headers=headers)
    bare = {"Idempotency-Key": headers["Idempotency-Key"].strip('"')}
    assert post(client, make_png(), headers=bare).json()["id"] == first.json()["id"]
    assert_problem(post(client, make_png(1), headers=headers), 422, "key-reused")
    options = post(client, make_png(), headers=headers, query="?maps=all")
    assert_problem(options, 422, "key-reused")
    wrong = post(client, make_png(), headers={"Idempotency-Key": "a key"})
    assert_problem(wrong, 422, "invalid-request")


def test_events_tell_everything_from_where_the_client_was(
    client: TestClient, make_png: Callable
) -> None:
    parts = {"studies": json.dumps([{"files": 1}, {"files": 1}])}
    response = post(client, make_png(), BAD, data=parts)
    path = f"{response.headers['location']}/events"
    ended(client, response)
    answer = client.get(path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = numbered(answer)
    numbers = [number for _, number, _ in told]
    assert numbers == sorted(set(numbers))
    job = client.get(response.headers["location"]).json()
    studies = [data for name, _, data in told if name == "study"]
    assert sorted(studies, key=lambda study: study["number"]) == job["studies"]
    assert told[-1][0] == "job" and told[-1][2] == {**job, "studies": []}
    for place, number in enumerate(numbers):
        rest = client.get(path, headers={"Last-Event-ID": str(number)})
        assert numbered(rest) == told[place + 1 :]
    assert rest.status_code == 204  # which an EventSource takes for the end


def test_events_come_while_the_job_is_read(client: TestClient, make_png: Callable) -> None:
    with occupied(client):
        response = post(client, make_png())
        location = response.headers["location"]
        while client.get(location).json()["state"] != "running":
            time.sleep(0.01)
    told = numbered(client.get(f"{location}/events", headers={"Last-Event-ID": "1"}))
    assert told[-1][2]["state"] == "done"
    assert {data["state"] for name, _, data in told if name == "study"} <= {"running", "done"}


def test_a_job_that_is_canceled_is_read_no_further(client: TestClient, make_png: Callable) -> None:
    with occupied(client):
        running, waiting = (post(client, make_png()).headers["location"] for _ in range(2))
        for location in (running, waiting):
            for _ in range(2):
                answer = client.delete(location)
                assert answer.status_code == 200 and answer.json()["state"] == "canceled"
    later = ended(client, post(client, make_png()))
    assert later["state"] == "done"
    for location in (running, waiting):
        job = client.get(location).json()
        assert [study["state"] for study in job["studies"]] == ["canceled"]
        assert job["progress"]["done"] == 0


def test_what_is_not_there(client: TestClient) -> None:
    assert_problem(client.get(f"/v1/jobs/{'0' * 32}"), 404, "unknown-job")
    assert_problem(client.delete(f"/v1/jobs/{'0' * 32}"), 404, "unknown-job")
    assert_problem(client.get(f"/v1/jobs/{'0' * 32}/events"), 404, "unknown-job")
    assert_problem(client.get("/v1/jobs/1"), 422, "invalid-request")


def test_results_that_are_not_kept_are_gone(client: TestClient, make_png: Callable) -> None:
    job = ended(client, post(client, make_png()))
    with client.app.state.service.jobs.database.writing() as session:
        old = update(JobRow).where(JobRow.id == job["id"])
        session.execute(old.values(ended=JobRow.ended - 25 * 3_600_000))
    for path in (f"/v1/jobs/{job['id']}", f"/v1/jobs/{job['id']}/events"):
        assert_problem(client.get(path), 410, "job-gone")


def test_without_a_folder_no_jobs_are_taken(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        assert_problem(post(client, make_png()), 404, "no-jobs")


def test_a_full_queue_says_when_to_come_back(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    limits = {"jobs_waiting": 2, "jobs_waiting_per_account": 1, "accounts": "proxy"}
    with serving(tiny_generator, jobs=tmp_path, proxy_addresses="testclient", **limits) as client:
        ann, bob, eve = ({**account(name), "X-CSRF-Token": "x"} for name in ("ann", "bob", "eve"))
        with occupied(client):
            for headers in (ann, bob):
                assert post(client, make_png(), headers=headers).status_code == 202
            for headers, status, name in ((ann, 503, "jobs-full"), (eve, 503, "jobs-full")):
                response = post(client, make_png(), headers=headers)
                assert_problem(response, status, name)
                assert 1 <= int(response.headers["retry-after"]) <= 3600
        both = {"studies": json.dumps([{"files": 1}, {"files": 1}])}
        two = post(client, make_png(), make_png(), data=both, headers=ann)
        assert_problem(two, 413, "job-too-large")


def account(name: str, role: str = "reader") -> dict[str, str]:
    return {"X-Remote-User": name, "X-Remote-Roles": role, "X-CSRF-Token": "x"}


def test_a_job_is_its_owners_and_the_administrators(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    proxy = {"accounts": "proxy", "proxy_addresses": "testclient"}
    with serving(tiny_generator, store=tmp_path / "store", **proxy) as client:
        response = post(client, make_png(), headers=account("ann"))
        location = response.headers["location"]
        for path in (location, f"{location}/events"):
            assert_problem(client.get(path, headers=account("bob")), 404, "unknown-job")
            assert client.get(path, headers=account("ann")).status_code == 200
            assert client.get(path, headers=account("chief", "admin")).status_code == 200
        assert_problem(client.delete(location, headers=account("bob")), 404, "unknown-job")
        job = client.get(location, headers=account("ann")).json()
        study = job["studies"][0]["report"]["study"]
        kept = client.get(f"/v1/studies/{study}", headers=account("bob")).json()
        assert kept["report"]["text"] == job["studies"][0]["report"]["text"]


DOCS = (ROOT / "docs" / "reference" / "rest-api.md").read_text("utf-8")


def test_the_requests_that_are_shown_are_answered(client: TestClient, make_png: Callable) -> None:
    job = ended(client, post(client, make_png()))
    shown = re.findall(r"^ +curl (?:-N |-X (DELETE) )?http://[^/]+(/v1/jobs/ID\S*)$", DOCS, re.M)
    assert len(shown) == 3
    for method, path in shown:
        assert client.request(method or "GET", path.replace("ID", job["id"])).status_code == 200


def test_the_client_that_is_shown_gets_the_report(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    [source] = re.findall(r"^```python\n(import time\n.+?)^```", DOCS, re.M | re.S)
    (tmp_path / "pa.png").write_bytes(make_png())
    (tmp_path / "other.html").write_bytes(BAD)
    with page_server.serving(tiny_generator, jobs=tmp_path / "jobs") as address:
        names: dict[str, Callable] = {}
        while httpx.get(f"{address}readyz").status_code != 200:
            time.sleep(0.01)
        exec(source.replace("http://127.0.0.1:8000", address), names)
        files = {"files": make_png()}
        whole = httpx.post(f"{address}v1/reports", files=files).json()
        assert names["report"](str(tmp_path / "pa.png"), "key-1") == whole
        with pytest.raises(ValueError, match="DICOM"):
            names["report"](str(tmp_path / "other.html"), "key-2")


ENDLESS = """
import time
from model.generator import ReportGenerator
from model.report import Report
from app.cli.main import main


def endless(*arguments, **options):
    print("reading", flush=True)
    time.sleep(3600)


ReportGenerator.reports = endless
main()
"""


class Waiting(ReportGenerator):
    """Begins a report, and goes on once it may."""

    def __init__(self, generator: ReportGenerator) -> None:
        super().__init__(generator.model, generator.tokenizer, generator.identity)
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def reports(self, *arguments: Any, **options: Any) -> list[Report]:
        self.begun.set()
        self.may_go_on.wait(60)
        return super().reports(*arguments, **options)


def test_a_service_that_stops_gives_back_what_it_reads(
    tiny_generator: ReportGenerator, tmp_path: Path, make_png: Callable
) -> None:
    """At once, and what comes of the study later is not kept."""
    waiting = Waiting(tiny_generator)
    with serving(waiting, jobs=tmp_path) as client:
        posted = post(client, make_png())
        assert waiting.begun.wait(60)
    jobs = open_jobs(JobOptions(tmp_path), None)
    [folder] = jobs.folders()
    assert find_job(jobs, folder.name, None).state == "queued"
    waiting.may_go_on.set()
    jobs.database.close()
    with serving(tiny_generator, jobs=tmp_path) as client:
        assert ended(client, posted)["state"] == "done"
    assert not jobs.folders()


def test_jobs_outlive_a_process_that_is_killed(
    tiny_generator: ReportGenerator, tiny_checkpoint: Path, tmp_path: Path, make_png: Callable
) -> None:
    command = [sys.executable, "-c", ENDLESS, "serve", "--port", "0", "--model", tiny_checkpoint]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "CROSSRAY_JOBS": str(tmp_path),
        "CROSSRAY_ENGINE": "torch",
    }
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = iter(process.stdout.readline, "")
        try:
            address = next(
                found[0] for line in said if (found := re.search(r"http://[^,\s]+", line))
            )
            parts = {"studies": json.dumps([{"files": 1}, {"files": 1}])}
            files = [("files", make_png(0)), ("files", make_png(1))]
            posted = httpx.post(f"{address}v1/jobs", files=files, data=parts)
            assert posted.status_code == 202 and any(line == "reading\n" for line in said)
        finally:
            process.kill()
    with serving(tiny_generator, jobs=tmp_path) as client:
        with client.app.state.service.jobs.database.writing() as session:
            # As after the lease, in twenty seconds.
            session.execute(update(JobStudyRow).values(lease=0))
        job = ended(client, posted)
    assert job["progress"] == {"studies": 2, "done": 2, "failed": 0}
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
