"""The API given several views, an earlier study and an indication, as the checkpoint reads them."""

import re
import shlex
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from material import PROMPT_TOKENS, REPORT
from paths import ROOT
from problem import assert_problem

from app.api.forms import MAX_INDICATION
from app.api.schemas import AskAnswer, ReportAnswer
from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator
from model.interface import VIEWS

Parts = list[tuple[str, tuple[str | None, bytes]]]


@pytest.fixture(scope="module")
def seeing(
    seeing_generator: ReportGenerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A service whose model reads all there is."""
    settings = Settings(max_files=3, jobs=tmp_path_factory.mktemp("jobs"))
    with TestClient(create_app(settings, seeing_generator)) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="module")
def frontal(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    """A service whose model reads frontal images only, and no indication."""
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        yield client


def form(**fields: list[bytes | str] | str) -> Parts:
    """Files and texts as one multipart body, which alone keeps an empty text."""
    parts: Parts = []
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            content = value.encode() if isinstance(value, str) else value
            parts.append((name, (None if isinstance(value, str) else "x", content)))
    return parts


def post(
    client: TestClient, path: str = "/v1/reports", **fields: list[bytes | str] | str
) -> object:
    return client.post(path, files=form(**fields))


def test_what_is_sent_comes_back_image_by_image(
    seeing: TestClient, make_dicom: Callable, make_png: Callable
) -> None:
    fields = {
        "files": [make_dicom(ViewPosition="AP"), make_png(1)],
        "views": ["", "LATERAL"],
        "priors": [make_png(2, 100, 100)],
        "indication": "The lungs.",
    }
    answer = ReportAnswer.model_validate(post(seeing, **fields).json())
    images = [(image.view, image.prior, image.height) for image in answer.images]
    assert images == [("AP", False, 80), ("LATERAL", False, 80), (None, True, 100)]
    assert answer.indication == "The lungs."
    assert answer.text == REPORT
    found = post(seeing, "/v1/questions", phrase="an effusion", **fields)
    asked = AskAnswer.model_validate(found.json())
    assert (asked.images, asked.indication) == (answer.images, answer.indication)


def test_every_image_has_its_part_of_a_map(seeing: TestClient, make_png: Callable) -> None:
    files = [make_png(1), make_png(2)]
    answer = post(seeing, files=files, views=["", "LATERAL"], priors=[make_png(3)]).json()
    patches = sum(image["rows"] * image["columns"] for image in answer["images"])
    maps = [word["heatmap"] for word in answer["words"] if word["heatmap"]]
    assert maps
    for heatmap in maps:
        assert len(heatmap["data"]) == 4 * -(-patches // 3)


def test_a_stated_view_is_as_good_as_one_in_the_header(
    seeing: TestClient, make_dicom: Callable
) -> None:
    """The same pixels, once with the view in the file and once beside it."""
    silent, lateral = (make_dicom(ViewPosition=view) for view in ("", "LL"))
    stated = post(seeing, files=[make_dicom(), silent], views=["", "LATERAL"])
    assert stated.json() == post(seeing, files=[make_dicom(), lateral]).json()
    agreeing = post(seeing, files=[make_dicom(), lateral], views=["PA", "LATERAL"])
    assert agreeing.json() == stated.json()


def test_a_header_that_says_another_view_is_an_error(
    seeing: TestClient, make_dicom: Callable
) -> None:
    response = post(seeing, files=[make_dicom(), make_dicom()], views=["", "LATERAL"])
    problem = assert_problem(response, 422, "invalid-request")
    assert "file 2: its header says PA and its sender LATERAL" in problem["detail"]


@pytest.mark.parametrize("views", [[""], ["PA", "LATERAL", ""]])
def test_views_that_are_not_one_a_file_are_refused(
    seeing: TestClient, make_png: Callable, views: list[str]
) -> None:
    problem = assert_problem(
        post(seeing, files=[make_png(), make_png()], views=views), 422, "invalid-request"
    )
    assert f"{len(views)} views for 2 files" in problem["detail"]


def test_a_view_that_there_is_not_is_refused_without_a_quote(
    seeing: TestClient, make_png: Callable
) -> None:
    response = post(seeing, files=[make_png()], views=["Quillfeather"])
    problem = assert_problem(response, 422, "invalid-request")
    assert "views" in problem["detail"] and "LATERAL" in problem["detail"]
    assert "Quillfeather" not in response.text


def test_a_lateral_is_refused_and_not_dropped_where_the_model_reads_none(
    frontal: TestClient, make_dicom: Callable, make_png: Callable
) -> None:
    for fields in (
        {"files": [make_dicom(), make_dicom(ViewPosition="LL")]},
        {"files": [make_dicom(), make_png()], "views": ["", "LATERAL"]},
    ):
        problem = assert_problem(post(frontal, **fields), 422, "not-a-radiograph")
        assert "file 2: lateral view: this model reads frontal views" in problem["detail"]


def test_a_prior_is_refused_where_the_model_reads_none(
    frontal: TestClient, make_png: Callable
) -> None:
    response = post(frontal, files=[make_png()], priors=[make_png(1)])
    problem = assert_problem(response, 422, "not-a-radiograph")
    assert "prior 1: image of an earlier study: this model reads frontal" in problem["detail"]


def test_a_prior_is_frontal(seeing: TestClient, make_dicom: Callable) -> None:
    response = post(seeing, files=[make_dicom()], priors=[make_dicom(ViewPosition="LL")])
    problem = assert_problem(response, 422, "not-a-radiograph")
    assert "prior 1: lateral view of an earlier study" in problem["detail"]


def test_a_bad_prior_is_told_as_one(seeing: TestClient, make_png: Callable) -> None:
    response = post(seeing, files=[make_png()], priors=[b"nothing known"])
    assert "prior 1: " in assert_problem(response, 415, "not-an-image")["detail"]


def test_an_indication_is_refused_where_the_model_reads_none(
    frontal: TestClient, make_png: Callable
) -> None:
    response = post(frontal, files=[make_png()], indication="Cough, Quillfeather")
    problem = assert_problem(response, 422, "invalid-request")
    assert "trained without" in problem["detail"] and "Quillfeather" not in response.text
    assert post(frontal, files=[make_png()], indication=" ").status_code == 201


@pytest.mark.parametrize("length", [PROMPT_TOKENS + 1, MAX_INDICATION + 1])
def test_an_indication_that_is_too_long_is_refused(
    seeing: TestClient, make_png: Callable, length: int
) -> None:
    """Of letters that are a token each; over the letters allowed it is not even tokenized."""
    response = post(seeing, files=[make_png()], indication="Q" * length)
    problem = assert_problem(response, 422, "invalid-request")
    limit = PROMPT_TOKENS if length <= MAX_INDICATION else MAX_INDICATION
    assert str(limit) in problem["detail"] and "QQ" not in response.text


def test_line_breaks_of_an_indication_are_spaces(seeing: TestClient, make_png: Callable) -> None:
    texts = ("The heart. The lungs.", " The heart.\r\n The  lungs.\n")
    one, other = (post(seeing, files=[make_png()], indication=text).json() for text in texts)
    assert one["words"] == other["words"]


def test_an_indication_and_a_prior_change_what_is_answered(
    seeing: TestClient, make_png: Callable
) -> None:
    bodies = [
        post(seeing, files=[make_png()], **more).json()["words"]
        for more in ({}, {"indication": "The lungs."}, {"priors": [make_png(1)]})
    ]
    assert all(one != other for k, one in enumerate(bodies) for other in bodies[k + 1 :])


def test_priors_count_as_files(seeing: TestClient, make_png: Callable) -> None:
    response = post(seeing, files=[make_png()] * 2, priors=[make_png()] * 2)
    assert "4 files" in assert_problem(response, 413, "too-many-files")["detail"]


def test_the_model_says_what_it_reads(seeing: TestClient, frontal: TestClient) -> None:
    told = [client.get("/v1/model").json() for client in (seeing, frontal)]
    assert [model["views"] for model in told] == [list(VIEWS), ["frontal"]]
    assert [model["prompt_tokens"] for model in told] == [PROMPT_TOKENS, 0]


def test_openapi_tells_the_limits(seeing: TestClient) -> None:
    schemas = seeing.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Body_create_report_v1_reports_post", "Body_create_question_v1_questions_post"):
        fields = schemas[name]["properties"]
        assert fields["indication"]["maxLength"] == MAX_INDICATION
        assert fields["views"]["items"]["enum"] == ["PA", "AP", "LATERAL", ""]
        assert fields["priors"]["type"] == "array"
        assert not {"priors", "views", "indication"} & set(schemas[name]["required"])


DOCS = (ROOT / "docs" / "reference" / "rest-api.md").read_text("utf-8")
CURL = re.findall(r"^ +curl (.* -F .+|-F .+)$", DOCS.replace("\\\n", ""), re.MULTILINE)


@pytest.mark.parametrize("line", CURL)
def test_the_requests_that_are_shown_are_answered(
    seeing: TestClient, make_dicom: Callable, make_png: Callable, line: str
) -> None:
    words = shlex.split(line)
    parts: Parts = []
    for field in (words[at + 1] for at, word in enumerate(words) if word == "-F"):
        name, _, value = field.partition("=")
        file = value.removeprefix("@")
        if file == value:
            parts.append((name, (None, value.encode())))
        else:
            parts.append((name, (file, make_dicom() if file.endswith(".dcm") else make_png())))
    path = words[-1].removeprefix("http://127.0.0.1:8000")
    assert parts and seeing.post(path, files=parts).is_success
