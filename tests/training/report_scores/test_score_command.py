"""`crossray score` and `compare`: certified figures, baselines beside, honest about the rest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from paths import SHARED
from prepared_folder import write_prepared

from data_prep.manifest import read_studies
from training.report_scores.meteor import why_no_meteor
from training.report_scores.normalization import protocol
from training.report_scores.report_files import References, match, read_predictions, read_references
from training.report_scores.score import compare_texts, score_texts

SHARED_DATA = SHARED / "data"
CERTIFIED = {
    "bleu_1": 0.4734, "bleu_2": 0.3036, "bleu_3": 0.2240, "bleu_4": 0.1752,
    "rouge_l": 0.3761, "cider": 0.6941,
}  # fmt: skip
METEOR = 0.1999
CONSTANT = {"bleu_1": 0.5000, "bleu_4": 0.1721, "rouge_l": 0.3628, "cider": 0.2850}
CONSTANT_METEOR = 0.2240


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("scored") / "prepared", 24)


def _predict(folder: Path, out: Path, change: bool = False) -> Path:
    reports = {s.id: s.report for s in read_studies(folder) if s.split == "validate"}
    if change:
        reports = dict.fromkeys(reports, "Findings: There is a left opacity.")
    out.write_text(json.dumps({s: {"model_prediction": r} for s, r in reports.items()}))
    return out


@pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="the certified reference is not beside this clone"
)
def test_the_certified_figures_to_the_digit() -> None:
    written = read_references(SHARED_DATA / "openi" / "annotation.json")
    predictions = read_predictions(SHARED_DATA / "scores" / "iu_xray_r2gen_split_predictions.csv")
    _, generated, reports = match(predictions, written)
    scored = score_texts(protocol("r2gen", written.train), generated, reports, written)
    own = {name: round(score.value, 4) for name, score in scored.scores.items() if score.value}
    baseline = {n: round(s.value, 4) for n, s in scored.baselines["constant"].items() if s.value}
    assert {name: own[name] for name in CERTIFIED} == CERTIFIED
    assert {name: baseline[name] for name in CONSTANT} == CONSTANT
    if why_no_meteor() is None:
        assert (own["meteor"], baseline["meteor"]) == (METEOR, CONSTANT_METEOR)
    assert any("4 different reports for 590 studies" in alarm for alarm in scored.alarms)


def test_the_truth_scores_1_and_stands_above_its_floors(
    prepared: Path, tmp_path: Path, without_java: None, run: Callable
) -> None:
    predictions = _predict(prepared, tmp_path / "truth.json")
    out = tmp_path / "scores.json"
    code, printed, _ = run("score", predictions, prepared, "--split", "validate", "--json", out)
    assert code == 0
    told = json.loads(out.read_text())
    for name in ("bleu_1", "bleu_4", "rouge_l", "micro_f1_14"):
        assert told["scores"][name]["value"] == 1
    assert set(told["baselines"]) == {"constant", "random", "retrieval"}
    assert told["baselines"]["constant"]["distinct_reports"]["value"] == 1
    assert told["predictions"]["name"] == "truth.json" and len(told["references"]["sha256"]) == 64
    # Java is not there: said, and no number in its place.
    assert "not computed: meteor (Java is not installed)" in printed
    assert "meteor" not in told["scores"]


def test_one_report_for_everything_is_told(
    prepared: Path, tmp_path: Path, without_java: None, run: Callable
) -> None:
    predictions = _predict(prepared, tmp_path / "same.json", change=True)
    _, printed, _ = run("score", predictions, prepared, "--split", "validate")
    assert "warning: 1 different reports for 6 studies" in printed
    assert "no better than the constant report" in printed


def test_without_train_reports_floors_are_missing_and_said(without_java: None) -> None:
    reports = ["Clear lungs.", "Left effusion."]
    known = References({"a": reports[0], "b": reports[1]})
    scored = score_texts(protocol("r2gen"), reports, reports, known)
    assert scored.baselines == {} and scored.constant_report is None
    assert set(scored.not_computed) >= {"<unk>", "constant, random", "retrieval"}


def test_compare_finds_the_better_one_and_nothing_between_equals(
    prepared: Path, tmp_path: Path, run: Callable
) -> None:
    truth = _predict(prepared, tmp_path / "truth.json")
    same = _predict(prepared, tmp_path / "same.json", change=True)
    out = tmp_path / "compared.json"
    code, _, _ = run("compare", same, truth, prepared, "--split", "validate", "--json", out)
    assert code == 0
    told = json.loads(out.read_text())["differences"]
    assert told["bleu_1"]["second"] == 1 and told["bleu_1"]["difference"]["value"] > 0
    if why_no_meteor() is None:
        assert told["meteor"]["first"] < told["meteor"]["second"] == 1
        assert told["meteor"]["p"] is not None
    reports = list(read_predictions(truth).values())
    equal = compare_texts(protocol("raw"), reports, reports, reports)
    assert {d.p for d in equal.differences.values()} <= {1, None}


def test_bad_input_is_one_line_and_writes_nothing(
    prepared: Path, tmp_path: Path, run: Callable
) -> None:
    predictions = _predict(prepared, tmp_path / "truth.json")
    content = json.loads(predictions.read_text())
    predictions.write_text(json.dumps({**content, "elsewhere": {"model_prediction": "x"}}))
    out = tmp_path / "scores.json"
    command = ("score", predictions, prepared, "--split", "validate", "--json")
    code, _, told = run(*command, out)
    assert code == 2 and not out.exists()
    assert "1 of 7 studies the references lack, such as 'elsewhere'" in told
    code, _, told = run(*command, tmp_path / "nowhere" / "scores.json")
    assert code == 2 and "no folder" in told
