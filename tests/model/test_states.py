"""What service, command and batch say of states, evidence, flags, refusals and questions."""

import base64
import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from material import REPORT, put

from app.api.answers import answer
from app.api.forms import MAX_PHRASE
from app.api.schemas import AskAnswer, ReportAnswer
from app.batch.run import BatchOptions, Outcome, run_batch
from app.batch.stages import Checks
from app.cli.output import report_text, times_as_likely
from app.main import create_app
from app.overlays import sheet, word_overlays
from app.settings import Settings
from model.findings import NamedFinding
from model.generator import ReportGenerator
from model.imaging.radiograph import ImageWarning, Radiograph
from model.imaging.read import read_image
from model.report import Report
from model.review import Flag

BLANK = cv2.imencode(".png", np.full((80, 64), 90, np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def tiny_checkpoint(worded_checkpoint: Path) -> Path:
    return worded_checkpoint


@pytest.fixture(scope="module")
def tiny_generator(tiny_checkpoint: Path) -> ReportGenerator:
    return ReportGenerator.load(tiny_checkpoint)


@pytest.fixture(scope="module")
def client(tiny_generator: ReportGenerator) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(max_files=3), tiny_generator)) as client:
        yield client


@pytest.fixture(params=[0.0, 1.1], ids=["all grounded", "none grounded"])
def share(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tiny_generator: ReportGenerator
) -> float:
    """From which share of its attention a word is grounded."""
    monkeypatch.setattr(tiny_generator.model.config, "grounded_share", request.param)
    return request.param


def post(client: TestClient, *files: bytes, path: str = "/v1/reports", **fields: str) -> object:
    parts = [("files", ("a file", content)) for content in files]
    return client.post(path, files=parts, data=fields)


def shares_of(told: dict, images: list[dict]) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(told["data"]), np.uint8)
    return data.reshape(len(images), images[0]["rows"], images[0]["columns"]) * told["scale"]


def test_only_what_is_grounded_has_a_map(
    client: TestClient, make_png: Callable, share: float
) -> None:
    told = post(client, make_png(), make_png(1)).json()
    assert told["words"] and told["sentences"]
    for part in [*told["words"], *told["sentences"], *told["findings"]]:
        assert part["state"] == ("grounded" if share == 0 else "not grounded")
        assert (part["heatmap"] is None) == (share > 0)
        assert 0 < part["attention"] <= 1
        if part["heatmap"]:
            shares = shares_of(part["heatmap"], told["images"])
            rounding = part["heatmap"]["scale"] / 2 * shares.size
            assert shares.sum() == pytest.approx(part["attention"], abs=rounding + 1e-6)


def test_a_sentence_is_its_words(client: TestClient, make_png: Callable) -> None:
    told = ReportAnswer.model_validate(post(client, make_png()).json())
    covered = [place for sentence in told.sentences for place in sentence.words]
    assert covered == sorted(set(covered))
    for sentence in told.sentences:
        words = [told.words[place] for place in sentence.words]
        assert sentence.text.split()[0] == words[0].text
        assert sentence.evidence == pytest.approx(sum(w.evidence for w in words), abs=1e-5)
        together = math.prod(w.probability for w in words)
        assert sentence.probability == pytest.approx(together, rel=1e-5)


def radiograph(make_png: Callable) -> Radiograph:
    return read_image(make_png())


def doubted(report: Report) -> Report:
    """The same with a finding, a flag and a warning."""
    heart = report.words[2]
    finding = NamedFinding(
        **vars(report.sentences[0]),
        name="pleural_effusion",
        sides=frozenset({"right", "left"}),
        zone=None,
        certainty="possible",
        clause=(0, 10),
        clause_evidence=2.5,
        presence_probability=0.75,
    )
    return replace(
        report,
        findings=(finding,),
        review=(Flag("side", "Check the side.", heart.start, heart.end),),
        warnings=((ImageWarning("rotated", "It seems turned."),),),
    )


def test_findings_flags_and_concerns_are_told(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    told = answer(doubted(tiny_generator(radiograph(make_png))), "a notice")
    [finding], [flag], [image] = told.findings, told.review, told.images
    assert finding.name == "pleural_effusion" and finding.sides == ["left", "right"]
    assert (finding.zone, finding.certainty) == (None, "possible")
    assert (finding.presence_probability, finding.clause_evidence) == (0.75, 2.5)
    assert (flag.code, told.text[flag.start : flag.end]) == ("side", "heart")
    assert [c.code for c in image.warnings] == ["rotated"]


def test_the_terminal_says_first_what_to_doubt(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    report = doubted(tiny_generator(radiograph(make_png)))
    evidence = {"heart": math.log(6), "normal": math.log(2), "size": 0.0}
    words = tuple(replace(w, evidence=evidence.get(w.text, -1.0)) for w in report.words)
    text = " ".join(report_text(replace(report, words=words), "a notice").split())
    assert text.index("rotated: It seems turned.") < text.index("side: Check the side.")
    assert "The heart** is normal* in size. The" in text
    assert text.index("side: Check") < text.index("heart**") < text.index("a notice")


@pytest.mark.parametrize(
    ("times", "told"),
    [(12, "12 times as likely"), (1.1, "hardly"), (0.5, "2 times less likely"), (1e6, "1,000")],
)
def test_evidence_is_a_sentence(times: float, told: str) -> None:
    assert told in times_as_likely(math.log(times))


def test_overlays_are_of_what_has_a_place(
    tiny_generator: ReportGenerator, make_png: Callable, share: float
) -> None:
    images = [radiograph(make_png)]
    report = tiny_generator(images)
    assert len(list(word_overlays(report, images))) == (len(report.words) if share == 0 else 0)
    drawn = sheet(report, images)
    assert (drawn.shape[0] > 1000) == (share == 0)


# What the input check refuses


def test_a_refused_image_is_its_own_problem_until_insisted_on(
    client: TestClient, make_png: Callable
) -> None:
    for path, fields in (("/v1/reports", {}), ("/v1/questions", {"phrase": "effusion"})):
        refused = post(client, make_png(), BLANK, path=path, **fields)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        problem = refused.json()
        assert problem["type"] == "/problems/refused" and "blank" in problem["detail"]
        insisted = post(client, make_png(), BLANK, path=f"{path}?input_check=false", **fields)
        assert insisted.status_code == 201
        warnings = [[c["code"] for c in image["warnings"]] for image in insisted.json()["images"]]
        assert warnings[0] == [] and "blank" in warnings[1]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_batch_lists_what_is_refused_and_goes_on(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source, out = put(tmp_path / "in", {"a.png": make_png(), "b.png": BLANK}), tmp_path / "out"
    assert run_batch(tiny_generator, source, out) == Outcome(done=1, refused=1)
    [refused] = [row for row in rows(out) if row["status"] == "refused"]
    assert refused["sources"] == "./b.png" and "blank" in refused["reason"]
    assert not (out / "studies" / refused["study"]).exists()
    assert run_batch(tiny_generator, source, out) == Outcome(kept=1, refused=1)
    outcome = run_batch(tiny_generator, source, out, BatchOptions(checks=Checks(input_check=False)))
    assert (outcome.done, outcome.kept, outcome.failed) == (1, 1, False)
    assert outcome.warned == 1
    warnings = {row["sources"]: row["warnings"] for row in rows(out)}
    assert warnings["./a.png"] == "" and warnings["./b.png"].startswith("blank: ")


class Doubtful(ReportGenerator):
    """Doubts all it says."""

    def reports(self, *arguments: object, **options: object) -> list[Report]:
        return [doubted(report) for report in super().reports(*arguments, **options)]


def test_a_batch_says_what_to_check(
    tmp_path: Path, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    source, out = put(tmp_path / "in", {"a.png": make_png()}), tmp_path / "out"
    generator = Doubtful(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.identity)
    for _ in range(2):  # the second run reads it from the record
        outcome = run_batch(generator, source, out)
        assert (outcome.warned, outcome.flagged) == (1, 1)
        [row] = rows(out)
        assert row["warnings"] == "rotated: It seems turned."
        assert row["review"] == "side: Check the side."


def test_the_command_refuses_and_gives_way(
    run: Callable, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    image, model = tmp_path / "blank.png", ("--model", tiny_checkpoint)
    image.write_bytes(BLANK)
    status, out, err = run("report", image, *model)
    assert (status, out) == (2, "") and "blank" in err
    status, out, _ = run("report", image, "--no-input-check", *model)
    assert status == 0 and "blank: The image is blank" in " ".join(out.split())
    batch = ("batch", tmp_path, "-o", tmp_path / "out", *model)
    status, _, err = run(*batch)
    assert status == 0 and "1 refused" in err
    status, _, err = run(*batch, "--no-input-check")
    assert status == 0 and "1 studies with a warning" in err


# Questions


def test_a_question_is_answered(
    client: TestClient, make_png: Callable, make_dicom: Callable, share: float
) -> None:
    response = post(
        client, make_dicom(), make_png(), path="/v1/questions", phrase="Are the lungs clear?"
    )
    assert response.status_code == 201
    told = AskAnswer.model_validate(response.json())
    assert told.phrase == "the lungs are clear"
    assert 0 < told.matches <= told.samples
    assert 0 <= told.probability <= 1 and math.isfinite(told.evidence)
    assert (told.heatmap is None) == (share > 0)
    assert [image.view for image in told.images] == ["PA", None]
    assert told.model.name == "crossray-tiny"


@pytest.mark.parametrize("phrase", ["", "x" * (MAX_PHRASE + 1), "?"])
def test_what_cannot_be_asked_is_not_valid(
    client: TestClient, make_png: Callable, phrase: str
) -> None:
    response = post(client, make_png(), path="/v1/questions", phrase=phrase)
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/invalid-request"


def test_the_command_asks_as_the_api_does(
    run: Callable, tmp_path: Path, tiny_checkpoint: Path, client: TestClient, make_png: Callable
) -> None:
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for seed, path in enumerate(files):
        path.write_bytes(make_png(seed))
    arguments = ("ask", *files, "is there a pleural effusion?", "--model", tiny_checkpoint)
    status, out, _ = run(*arguments, "--json", "--engine", "torch")
    asked = post(
        client,
        *[f.read_bytes() for f in files],
        path="/v1/questions",
        phrase="is there a pleural effusion?",
    )
    assert status == 0
    assert json.loads(out) == asked.json()
    status, out, _ = run(*arguments)
    assert status == 0 and "Probability" in out and REPORT not in out
