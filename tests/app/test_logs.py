"""No log line, and nothing on the terminal, may tell of a patient."""

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from material import PATIENT
from paths import ROOT

from app.logs import FIELDS, configure_logging
from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

SECRETS = [
    *PATIENT.values(),
    "Quillfeather",
    "SECRET VIEW",
    "secret-file-name",
    "secret-header",
    "secret-query",
    "secret-indication",
]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log's stream; the loggers are as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    lines = io.StringIO()
    with warnings.catch_warnings():
        configure_logging(lines)
        yield lines
    root.handlers[:], root.level = before[0], before[1]


def test_requests_leave_no_trace_of_the_patient(
    stream: io.StringIO,
    capfd: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
    seeing_generator: ReportGenerator,
    make_dicom: Callable,
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    bad = make_dicom(PixelData=b"short", ViewPosition="SECRET VIEW", Modality="CT")
    with TestClient(create_app(Settings(), seeing_generator)) as client:
        for content in (make_dicom(), make_dicom()[:-99], bad, b"Quillfeather"):
            client.post(
                "/v1/reports?secret-query=Zanzibar&pixels=secret-query",
                files=[("files", ("secret-file-name.dcm", content))],
                headers={"X-Request-ID": "secret-header", "User-Agent": "secret-header"},
            )
            client.post("/v1/reports", files=[("files", ("secret-file-name.dcm", content))])
            client.post(
                "/v1/reports",
                files=[("files", ("secret-file-name.dcm", content))],
                data={"indication": "secret-indication"},
            )
        client.get("/secret-file-name/Quillfeather")
    log = stream.getvalue()
    events = [json.loads(line) for line in log.splitlines()]
    requests = [event for event in events if event["event"] == "request"]
    assert [event["status"] for event in requests] == [
        *(422, 201, 201),
        *[422] * 6,
        *(422, 415, 415),
        404,
    ]
    out, err = capfd.readouterr()
    # The test's own client logs what it asks for.
    heard = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert heard
    everything = [log, out, err, *(str(vars(record)) for record in heard)]
    for secret in SECRETS:
        assert not any(secret in text for text in everything), secret


def test_a_line_says_what_was_asked_and_how_it_went(
    stream: io.StringIO, tiny_generator: ReportGenerator
) -> None:
    client = TestClient(create_app(Settings(), tiny_generator))
    response = client.get("/livez")
    event = json.loads(stream.getvalue().splitlines()[-1])
    assert event["request"] == response.headers["x-request-id"]
    assert (event["method"], event["route"], event["status"]) == ("GET", "/livez", 200)
    assert event["milliseconds"] >= 0
    assert set(event) <= {"time", "level", "logger", "event", *FIELDS}


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_told_by_type_and_place(stream: io.StringIO, as_json: bool) -> None:
    configure_logging(stream, as_json)
    try:
        int("Quillfeather")
    except ValueError as error:
        logging.getLogger("crossray.service").error("request failed", exc_info=error)
    told = stream.getvalue()
    assert "ValueError" in told and "test_logs.py:" in told
    assert "Quillfeather" not in stream.getvalue()


def test_other_libraries_are_not_heard(stream: io.StringIO, capfd: pytest.CaptureFixture) -> None:
    logging.getLogger("pydicom").error("Invalid value for VR PN: Quillfeather")
    logging.getLogger("some.library").critical("Quillfeather")
    warnings.warn("Invalid value for VR DA: Quillfeather", stacklevel=1)
    assert stream.getvalue() == ""
    assert "Quillfeather" not in "".join(capfd.readouterr())


def test_the_command_line_says_nothing_of_the_patient(
    tmp_path: Path, tiny_checkpoint: Path, make_dicom: Callable
) -> None:
    """As a process of its own, so that whatever any library prints is seen."""
    (tmp_path / "in").mkdir()
    odd = make_dicom(StudyInstanceUID="1.2.3").replace(b"19431107", b"Quillfea")
    for name, content in {"a": make_dicom(), "b": make_dicom()[:-99], "c": odd}.items():
        (tmp_path / "in" / name).write_bytes(content)
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-c",
        "from app.cli.main import main; main()",
    ]
    done = subprocess.run(
        [*command, "batch", "in", "-o", "out", "--model", str(tiny_checkpoint)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    written = [path for path in (tmp_path / "out").rglob("*") if path.suffix in {".csv", ".json"}]
    assert len(written) >= 5
    texts = [done.stdout, done.stderr, *(path.read_text("utf-8") for path in written)]
    texts.append("\n".join(str(path) for path in (tmp_path / "out").rglob("*")))
    for secret in [*PATIENT.values(), "Quillfea"]:
        assert not any(secret in text for text in texts), secret
