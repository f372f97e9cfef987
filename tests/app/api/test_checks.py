"""POST /v1/checks, and `crossray check`, which prints the same; denials of a report."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from material import REPORT
from problem import assert_problem

from app.api.schemas import CheckAnswer, ReportAnswer
from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

TEXT = "Findings: The heart is normal in size. There is a left pleural effusion, unchanged."


@pytest.fixture(scope="module")
def client(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        yield client


def test_a_report_is_checked(client: TestClient, make_png: Callable[..., bytes]) -> None:
    response = client.post("/v1/checks", files={"files": make_png()}, data={"report": TEXT})
    assert response.status_code == 201
    answer = CheckAnswer.model_validate(response.json())
    assert answer.text == TEXT
    for part in [*answer.sections, *answer.words, *answer.sentences, *answer.statements]:
        assert answer.text[part.start : part.end] == part.text
    stated = {(each.name, each.present, tuple(each.sides)) for each in answer.statements}
    assert stated == {("cardiomegaly", False, ()), ("pleural_effusion", True, ("left",))}
    priors = [issue for issue in answer.issues if issue.code == "prior"]
    assert [TEXT[p.start : p.end] for issue in priors for p in issue.places] == ["unchanged"]
    assert all(issue.probability is None for issue in answer.issues)  # nothing was fitted


@pytest.mark.parametrize(
    ("report", "detail"), [("...", "no word"), ("effusion " * 200, "tokens"), (None, "report")]
)
def test_what_cannot_be_checked_is_told(
    client: TestClient, make_png: Callable[..., bytes], report: str | None, detail: str
) -> None:
    data = {} if report is None else {"report": report}
    response = client.post("/v1/checks", files={"files": make_png()}, data=data)
    assert detail in assert_problem(response, 422, "invalid-request")["detail"]


def test_the_command_prints_the_same(
    client: TestClient,
    run: Callable,
    tiny_checkpoint: Path,
    make_png: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    image, report = tmp_path / "a.png", tmp_path / "report.txt"
    image.write_bytes(make_png())
    report.write_text(TEXT, encoding="utf-8")
    given = ("check", image, report, "--model", tiny_checkpoint, "--engine", "torch")
    status, out, _ = run(*given, "--json")
    sent = client.post("/v1/checks", files={"files": make_png()}, data={"report": TEXT})
    assert (status, json.loads(out)) == (0, sent.json())
    status, out, _ = run(*given)
    words = " ".join(out.split())
    assert status == 0 and "prior: 'unchanged' compares with an earlier image" in words
    assert "'pleural effusion': pleural effusion asserted" in words
    status, _, err = run("check", image, tmp_path / "none.txt", "--model", tiny_checkpoint)
    assert status == 2 and "name a text file with the report" in err


def test_a_report_lists_what_it_denies(client: TestClient, make_png: Callable[..., bytes]) -> None:
    response = client.post("/v1/reports?input_check=false", files={"files": make_png()})
    answer = ReportAnswer.model_validate(response.json())
    assert answer.text == REPORT
    assert {"pleural_effusion", "cardiomegaly", "opacity"} <= {d.name for d in answer.denials}
    for denial in answer.denials:
        assert answer.text[denial.start : denial.end] == denial.text
        assert denial.state in ("inspected", "not inspected")
        assert (denial.heatmap is None) == (denial.state == "not inspected")
