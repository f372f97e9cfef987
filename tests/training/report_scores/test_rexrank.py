"""`crossray rexrank`: every case of the input file, whole, with its report, or named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from material import REPORT, chest, put

from model.errors import DataError
from model.exam import Exam
from model.generator import ReportGenerator
from training.report_scores.rexrank import run_rexrank

CASES: dict[str, dict[str, Any]] = {
    "CXR1": {
        "image_path": ["CXR1/0.png", "CXR1/1.png"],
        "key_image_path": "CXR1/0.png",
        "frontal_lateral": ["Frontal", "Lateral"],
        "context": "Indication: Chest pain. Comparison: None.",
        "section_findings": "The heart is normal in size. The lungs are clear.",
        "section_impression": "No acute cardiopulmonary abnormality.",
        "report": REPORT,
    },
    "p10/s5": {
        "image_path": ["/p10/s5/a.png"],
        "context": "<context>Age:50-60.Indication: Fever, cough.Comparison: ___.</context>",
        "report": REPORT,
    },
    "plain": {"image_path": ["plain.png"], "report": REPORT, "context": "Dyspnea."},
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    names = [name for case in CASES.values() for name in case["image_path"]]
    files = {
        name.lstrip("/"): cv2.imencode(".png", chest(seed))[1].tobytes()
        for seed, name in enumerate(names)
    }
    return put(tmp_path / "images", files)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(CASES))
    return path


def _given(
    generator: ReportGenerator, cases: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Exam]:
    """What the model is given of each case."""
    exams: list[Exam] = []
    reports = generator.reports
    monkeypatch.setattr(
        generator, "reports", lambda some, input_check: exams.extend(some) or reports(some)
    )
    run_rexrank(generator, cases, cases.parent / "out.json", images)
    return exams


def test_every_case_comes_back_whole_with_a_report_and_can_be_scored(
    tiny_checkpoint: Path, cases: Path, images: Path, without_java: None, run: Callable
) -> None:
    out = cases.parent / "out.json"
    code, _, told = run("rexrank", cases, out, images, "--model", tiny_checkpoint)
    assert code == 0 and "3 reports written" in told
    written = json.loads(out.read_text())
    assert list(written) == list(CASES)
    for name, case in written.items():
        assert CASES[name].items() <= case.items()
        assert case["model_prediction"] == REPORT
    code, printed, _ = run("score", out, cases, "--protocol", "rexrank")
    assert code == 0 and "bleu_1                                1.0000" in printed


def test_a_model_of_frontal_views_is_given_those(
    tiny_generator: ReportGenerator, cases: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exams = _given(tiny_generator, cases, images, monkeypatch)
    assert [len(exam.images) for exam in exams] == [1, 1, 1]
    assert [exam.indication for exam in exams] == ["", "", ""]


def test_a_model_of_all_views_is_given_all_and_the_indication(
    seeing_generator: ReportGenerator, cases: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exams = _given(seeing_generator, cases, images, monkeypatch)
    assert [[p.view for p in exam.images] for exam in exams] == [
        [None, "LATERAL"],
        [None],
        [None],
    ]
    assert [exam.indication for exam in exams] == ["Chest pain.", "Fever, cough.", "Dyspnea."]


def test_a_bad_case_is_named_and_the_others_are_kept_and_not_done_again(
    tiny_checkpoint: Path, cases: Path, images: Path, run: Callable
) -> None:
    out = cases.parent / "out.json"
    image = images / "plain.png"
    good = image.read_bytes()
    image.write_bytes(b"<html>")
    command = ("rexrank", cases, out, images, "--model", tiny_checkpoint)
    code, _, told = run(*command)
    assert code == 3 and "plain: 'plain.png': " in told and "2 reports written" in told
    assert list(json.loads(out.read_text())) == ["CXR1", "p10/s5"]
    image.write_bytes(good)
    code, _, told = run(*command)
    assert code == 0 and "1 reports written" in told and "2 kept" in told
    assert list(json.loads(out.read_text())) == list(CASES)


def test_laterals_alone_are_named_where_none_is_read(
    tiny_generator: ReportGenerator, tmp_path: Path, images: Path
) -> None:
    case = {"image_path": ["CXR1/1.png"], "frontal_lateral": ["Lateral"]}
    (tmp_path / "one.json").write_text(json.dumps({"a": case}))
    outcome = run_rexrank(tiny_generator, tmp_path / "one.json", tmp_path / "out.json", images)
    assert outcome.done == 0 and "lateral view" in outcome.failed["a"]


def test_no_path_leads_out_of_the_folder(
    tiny_generator: ReportGenerator, tmp_path: Path, images: Path
) -> None:
    (tmp_path / "secret.png").write_bytes((images / "plain.png").read_bytes())
    (tmp_path / "one.json").write_text(json.dumps({"a": {"image_path": ["x/../../secret.png"]}}))
    outcome = run_rexrank(tiny_generator, tmp_path / "one.json", tmp_path / "out.json", images)
    assert "leads out of the folder" in outcome.failed["a"]
    (tmp_path / "one.json").write_text(json.dumps({"a": {"image_path": ["x\0.png"]}}))
    outcome = run_rexrank(tiny_generator, tmp_path / "one.json", tmp_path / "out.json", images)
    assert "leads out of the folder" in outcome.failed["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no cases"),
        ('{"a": {"image_path": []}}', "case 'a' of 'one.json' has no list of paths"),
        ('{"a": {"image_path": ["x"], "frontal_lateral": []}}', "does not tell a view for each"),
        ("<html>", "is not JSON"),
        ('{"a": {"image_path": ["x"], "context": NaN}}', "'a' of 'one.json' holds NaN"),
        ('{"a": {"image_path": ["x"], "context": "\\ud800"}}', "or half a letter"),
    ],
)
def test_an_input_of_another_form_is_named(
    tiny_generator: ReportGenerator, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(DataError, match=message):
        run_rexrank(tiny_generator, tmp_path / "one.json", tmp_path / "out.json", tmp_path)
    assert not (tmp_path / "out.json").exists()


def test_what_another_model_wrote_is_not_gone_on_with(
    tiny_generator: ReportGenerator, seeing_generator: ReportGenerator, cases: Path, images: Path
) -> None:
    out = cases.parent / "out.json"
    run_rexrank(tiny_generator, cases, out, images)
    before = out.read_bytes()
    with pytest.raises(DataError, match="what this model has not written"):
        run_rexrank(seeing_generator, cases, out, images)
    assert out.read_bytes() == before


def test_an_output_of_other_cases_is_kept_and_a_changed_case_is_done_again(
    tiny_generator: ReportGenerator, cases: Path, images: Path
) -> None:
    out = cases.parent / "out.json"
    run_rexrank(tiny_generator, cases, out, images)
    before = out.read_bytes()
    fewer = {name: case for name, case in CASES.items() if name != "plain"}
    cases.write_text(json.dumps(fewer))
    with pytest.raises(DataError, match="1 cases that the input lacks, such as 'plain'"):
        run_rexrank(tiny_generator, cases, out, images)
    assert out.read_bytes() == before
    changed = {**CASES, "plain": {**CASES["plain"], "context": "Indication: Cough."}}
    cases.write_text(json.dumps(changed))
    outcome = run_rexrank(tiny_generator, cases, out, images)
    assert (outcome.done, outcome.kept) == (1, 2)
    assert json.loads(out.read_text())["plain"]["context"] == "Indication: Cough."


def test_what_is_saved_on_the_way_is_kept(
    tiny_generator: ReportGenerator, cases: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.report_scores.rexrank.SAVE_EVERY", 1)
    out, reports, calls = cases.parent / "out.json", tiny_generator.reports, []

    def stopped(some: list[Exam], input_check: bool) -> list:
        calls.append(len(some))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return reports(some, input_check=input_check)

    monkeypatch.setattr(tiny_generator, "reports", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_rexrank(tiny_generator, cases, out, images, batch_size=1)
    assert list(json.loads(out.read_text())) == ["CXR1", "p10/s5"]


def test_input_output_and_images_are_told_apart(
    tiny_generator: ReportGenerator, cases: Path, images: Path, tmp_path: Path
) -> None:
    before = cases.read_bytes()
    with pytest.raises(DataError, match="input and output at once"):
        run_rexrank(tiny_generator, cases, cases, images)
    with pytest.raises(DataError, match="there is no folder"):
        run_rexrank(tiny_generator, cases, tmp_path / "out.json", tmp_path / "elsewhere")
    assert cases.read_bytes() == before and not (tmp_path / "out.json").exists()


def test_an_indication_that_is_cut_is_told(
    seeing_checkpoint: Path, cases: Path, images: Path, tmp_path: Path, run: Callable
) -> None:
    long = {**CASES, "plain": {**CASES["plain"], "context": "Dyspnea. " * 60}}
    cases.write_text(json.dumps(long))
    out = tmp_path / "out.json"
    code, _, told = run("rexrank", cases, out, images, "--model", seeing_checkpoint)
    assert code == 0 and "1 indications were cut" in told


def test_the_gate_refuses_no_case(
    tiny_generator: ReportGenerator, cases: Path, images: Path
) -> None:
    blank = np.full((80, 64), 9, np.uint8)
    (images / "plain.png").write_bytes(cv2.imencode(".png", blank)[1].tobytes())
    outcome = run_rexrank(tiny_generator, cases, cases.parent / "out.json", images)
    assert outcome.done == 3 and not outcome.failed
