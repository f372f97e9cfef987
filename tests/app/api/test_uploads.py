"""A study's files as clients really send them."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from problem import assert_problem

from app.api.description import QUESTION, REPORT
from app.api.schemas import AskAnswer, ReportAnswer
from app.api.uploads import RAW_TYPES
from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator

Made = Callable[..., bytes]
NAMED = b'form-data; name="files"; filename="a"'


@pytest.fixture(scope="module")
def client(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), tiny_generator)) as client:
        yield client


def multipart(*parts: tuple[bytes, bytes], before: bytes = b"", after: bytes = b"") -> bytes:
    """A body with the boundary B; parts are a Content-Disposition and a content."""
    blocks = [
        b"--B\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"
        for disposition, content in parts
    ]
    return before + b"".join(blocks) + b"--B--" + after


def post(client: TestClient, body: bytes, path: str = "/v1/reports") -> object:
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    return client.post(path, content=body, headers=headers)


@pytest.mark.parametrize(
    "disposition",
    [
        NAMED,
        b"form-data; name=\"files\"; filename*=UTF-8''%E8%83%B8.dcm",
        b'form-data; name="files"',
        b'form-data; name="files[]"; filename="a"',
        b'form-data; name="files[]"',
        b'form-data; name=files; filename=""',
    ],
)
def test_a_part_is_a_file_by_its_field(
    client: TestClient, make_dicom: Made, disposition: bytes
) -> None:
    image = make_dicom()
    assert post(client, multipart((disposition, image))).status_code == 201


def test_the_order_of_files_is_kept_whatever_they_are_called(
    client: TestClient, make_dicom: Made, make_png: Made
) -> None:
    body = multipart((b'form-data; name="files[]"', make_dicom()), (NAMED, make_png()))
    assert [image["view"] for image in post(client, body).json()["images"]] == ["PA", None]


@pytest.mark.parametrize(
    "before", [b"", b"\r\n", b"This is multipart.\r\n", b"x" * 70_000 + b"\r\n"]
)
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\r\nThat was all.", b"\r\n" * 20])
def test_preamble_and_epilogue_are_passed_over(
    client: TestClient, make_png: Made, before: bytes, after: bytes
) -> None:
    body = multipart((NAMED, make_png()), before=before, after=after)
    assert post(client, body).status_code == 201


def test_a_boundary_may_be_cut_anywhere(client: TestClient, make_png: Made) -> None:
    body = multipart((NAMED, make_png()), before=b"Preamble --B no\r\n")
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    for cut in range(12, 26):
        pieces = iter([body[:cut], body[cut:]])
        response = client.post("/v1/reports", content=pieces, headers=headers)
        assert response.status_code == 201


def test_one_image_may_be_the_body(client: TestClient, make_dicom: Made, make_png: Made) -> None:
    for kind in RAW_TYPES:
        image = make_dicom() if kind == "application/dicom" else make_png()
        response = client.post("/v1/reports", content=image, headers={"Content-Type": kind})
        assert response.status_code == 201
        sent = client.post("/v1/reports", files={"files": image}).json()
        assert response.json() == sent


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain"])
def test_what_to_send_is_said(client: TestClient, kind: str) -> None:
    response = client.post("/v1/reports", content=b"x", headers={"Content-Type": kind})
    problem = assert_problem(response, 422, "invalid-request")
    assert "multipart/form-data in the field `files`" in problem["detail"]
    assert all(raw in problem["detail"] for raw in RAW_TYPES)


@pytest.mark.parametrize(
    "body", [b"no boundary", b"--B no line end", multipart((b"form-data", b"x"))]
)
def test_what_is_no_multipart_says_what_is(client: TestClient, body: bytes) -> None:
    problem = assert_problem(post(client, body), 400, "bad-request")
    assert "multipart/form-data in the field `files`" in problem["detail"]


def test_the_openapi_document_describes_them(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/v1/reports"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", *RAW_TYPES}
    reference = content["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]
    files = document["components"]["schemas"][reference]["properties"]["files"]
    assert files["items"]["format"] == "binary"


def test_the_examples_of_the_openapi_document_are_answers(client: TestClient) -> None:
    for example, answer in ((REPORT, ReportAnswer), (QUESTION, AskAnswer)):
        assert answer.model_validate(example).model_dump(exclude={"study"}) == example
    assert REPORT["text"][slice(10, 32)] == REPORT["sentences"][0]["text"]
