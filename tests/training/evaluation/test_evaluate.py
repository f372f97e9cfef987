"""Laws of an evaluation: the truth scores 1, a constant cannot hide, maps are held to their boxes.

Everything runs on small real phantoms and a tiny real model.
"""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.manifest import (
    FINDINGS,
    Finding,
    Image,
    Study,
    manifest_hash,
    read_studies,
    write_studies,
)
from data_prep.phantom.study import make_phantom
from model.checkpoint import save_checkpoint
from model.errors import CheckpointError, ConfigError, DataError
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from training.evaluation.evaluate import EvaluationOptions, Outputs, evaluate, run_evaluation
from training.evaluation.finding_scores import score_findings
from training.evaluation.model_card import write_card
from training.evaluation.results import Evaluation
from training.evaluation.table import report_table, write_json, write_predictions
from training.provenance import saw
from training.report_scores.baselines import best_constant, nearest, thumbnail
from training.report_scores.score import run_score

pytestmark = pytest.mark.usefixtures("without_java")

SIZE = 64
NAMES = [
    *("finding_precision", "finding_recall", "finding_f1", "side_accuracy", "zone_accuracy"),
    *("normal_recall", "distinct_reports", "pointing_game", "cnr"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of 30 phantoms: 18 to train, 12 to test."""
    out = tmp_path_factory.mktemp("prepared")
    (out / "images").mkdir()
    write_studies(out, [_prepared(out, index) for index in range(30)])
    return out


def _prepared(out: Path, index: int) -> Study:
    phantom = make_phantom(seed=11, index=index, size=SIZE)
    path = f"images/{index:07d}.png"
    assert cv2.imwrite(str(out / path), np.round(phantom.images[0].pixels * 255).astype(np.uint8))
    image = Image(path, SIZE, SIZE, phantom.images[0].view)
    split = "train" if index < 18 else "test"
    return Study(f"{index:07d}", split, (image,), phantom.report, phantom.findings, phantom.phrases)


@pytest.fixture(scope="module")
def evaluation(folder: Path, tiny_generator: ReportGenerator) -> Evaluation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")  # no Java: METEOR has tests of its own
        return evaluate(tiny_generator, folder, EvaluationOptions(progress=False))


def test_the_split_is_chosen_and_what_was_trained_on_is_refused(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.json"
    run_evaluation(tiny_checkpoint, folder, Outputs(out), EvaluationOptions("test", limit=2))
    assert json.loads(out.read_text())["split"] == "test"
    run_evaluation(tiny_checkpoint, folder, Outputs(out), EvaluationOptions(limit=2))
    assert json.loads(out.read_text())["split"] == "all"
    monkeypatch.setattr("training.evaluation.evaluate.learned_from", lambda *_: True)
    with pytest.raises(DataError, match=r"'train' of .* may be what the checkpoint"):
        run_evaluation(tiny_checkpoint, folder, Outputs(out), EvaluationOptions("train", limit=2))


def test_the_true_reports_score_1_everywhere(folder: Path) -> None:
    studies = list(read_studies(folder))
    scores = score_findings(studies, [study.report for study in studies])
    for by_finding in (scores.finding_precision, scores.finding_recall, scores.finding_f1):
        assert {score.value for score in by_finding.values()} <= {1, None}
        assert by_finding["macro"].value == 1
    assert scores.side_accuracy.value == scores.zone_accuracy.value == 1
    assert scores.normal_recall.value == 1


def test_a_wrong_side_or_zone_costs_accuracy_and_nothing_else() -> None:
    finding = Finding("opacity", "mild", "left", "lower", (0, 0, 8, 8))
    study = Study("1", "test", (), "", (finding,))
    texts = {"Left lower": (1, 1), "Right lower": (0, 1), "Left upper": (1, 0), "Lung": (0, 0)}
    for place, (side, zone) in texts.items():
        scores = score_findings([study], [f"{place} opacity."])
        assert (scores.side_accuracy.value, scores.zone_accuracy.value) == (side, zone)
        assert scores.finding_f1["opacity"].value == 1


def test_places_are_only_asked_of_true_positives() -> None:
    finding = Finding("pneumothorax", "mild", "left", None, (0, 0, 8, 8))
    studies = [Study("1", "test", (), "", (finding,)), Study("2", "test", (), "")]
    scores = score_findings(studies, ["No pneumothorax.", "Right pneumothorax."])
    assert scores.side_accuracy.n == 0
    assert scores.normal_recall.value == 0


def test_a_model_that_only_says_normal_is_found_out(evaluation: Evaluation) -> None:
    scores = evaluation.findings.scores
    assert scores.finding_f1["macro"].value == 0
    assert scores.normal_recall.value == 1
    assert scores.distinct_reports.value == 1
    assert scores.pointing_game.value is None


def test_it_is_measured_on_the_test_split_only(folder: Path, evaluation: Evaluation) -> None:
    tests = list(read_studies(folder, "test"))
    assert (evaluation.split, evaluation.studies) == ("test", len(tests))
    normal = sum(not study.findings for study in tests)
    assert evaluation.findings.scores.normal_recall.n == normal
    assert evaluation.findings.scores.distinct_reports.n == len(tests)


def test_of_the_trained_folder_only_the_test_split_is_evaluated(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    trained = {"data": {"manifest_sha256": manifest_hash(folder)}}
    other = {"data": {"manifest_sha256": "0" * 64}}
    for record, studies in ((trained, 12), ({**other, "initial": trained}, 12), (other, 30)):
        save_checkpoint(tmp_path, tiny_generator.model, tiny_generator.tokenizer, record, "")
        run_evaluation(tmp_path, folder, Outputs(tmp_path / "s.json"))
        assert json.loads((tmp_path / "s.json").read_text())["studies"] == studies


def test_phantoms_of_the_trained_seed_were_seen_however_many_they_are(
    folder: Path, tmp_path: Path
) -> None:
    write_studies(tmp_path, read_studies(folder, "test"))
    trained = {"data": {"source": "phantom", "seed": 1, "studies": 9, "manifest_sha256": "0" * 64}}
    for seed, seen in ((1, True), (2, False)):
        made = {"source": "phantom", "seed": seed, "studies": 12}
        (tmp_path / "prepared.json").write_text(json.dumps(made))
        assert saw(trained, tmp_path) == seen


def test_a_data_set_is_the_same_however_it_was_prepared(folder: Path, tmp_path: Path) -> None:
    write_studies(tmp_path, read_studies(folder, "test"))
    made = {"source": "iu-xray", "split": "standard", "seed": 0, "size": 512}
    (tmp_path / "prepared.json").write_text(json.dumps(made))
    trained = {"data": {**made, "size": 256, "manifest_sha256": "0" * 64}}
    assert saw(trained, tmp_path)
    for other in ({"split": "patient"}, {"seed": 1}):
        with pytest.raises(DataError, match="in another split"):
            saw({"data": {**trained["data"], **other}}, tmp_path)


def test_views_that_leave_no_study_or_that_no_model_reads_are_told(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="this model reads"):
        evaluate(tiny_generator, folder, EvaluationOptions(views=["lateral"], progress=False))
    laterals = [
        replace(study, images=tuple(replace(p, view="LATERAL") for p in study.images))
        for study in read_studies(folder)
    ]
    write_studies(tmp_path, laterals)
    with pytest.raises(DataError, match="choose other views"):
        evaluate(tiny_generator, tmp_path, EvaluationOptions(progress=False))


def test_without_a_train_split_the_nearest_is_another_study(
    folder: Path, tiny_generator: ReportGenerator
) -> None:
    studies = list(read_studies(folder))
    images = [read_image(folder / study.images[0].path) for study in studies]
    found = nearest(folder, studies, [thumbnail(image) for image in images], itself=True)
    same = [report == study.report for report, study in zip(found, studies, strict=True)]
    assert not any(same[k] for k, s in enumerate(studies) if s.findings)
    every = evaluate(tiny_generator, folder, EvaluationOptions("all", progress=False))
    assert every.studies == 30 and every.findings.retrieval.finding_f1["macro"].value < 1


def test_limit_takes_the_first(folder: Path, tiny_generator: ReportGenerator) -> None:
    few = evaluate(tiny_generator, folder, EvaluationOptions(limit=3, batch_size=2, progress=False))
    assert few.studies == few.findings.scores.distinct_reports.n == 3


def test_json_has_the_stable_names(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(evaluation, tmp_path / "scores.json")
    answer = json.loads((tmp_path / "scores.json").read_text())
    for scores in (answer, answer["baselines"]["constant"], answer["baselines"]["retrieval"]):
        for name in NAMES:
            by_finding = name.startswith("finding_")
            parts = (
                [scores[name][f] for f in ("macro", *FINDINGS)] if by_finding else [scores[name]]
            )
            assert all(set(part) == {"value", "low", "high", "n"} for part in parts)
    assert answer["baselines"]["constant"]["pointing_game"]["value"] is None
    assert answer["baselines"]["constant"]["distinct_reports"]["value"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_the_table_shows_what_the_json_holds(evaluation: Evaluation) -> None:
    table = report_table(evaluation)
    for name in ("finding_f1.macro", "finding_recall.nodule", "normal_recall", "pointing_game"):
        assert re.search(rf"^{re.escape(name)} .*\[", table, re.MULTILINE), name
    recall = evaluation.findings.scores.normal_recall
    line = next(line for line in table.splitlines() if line.startswith("normal_recall"))
    assert f"{recall.value:.3f} [{recall.low:.3f}, {recall.high:.3f}]" in line


def test_the_command_loads_evaluates_and_writes(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    table = run_evaluation(
        tiny_checkpoint, folder, Outputs(tmp_path / "s.json"), EvaluationOptions(limit=2)
    )
    assert "crossray-tiny on 2 studies" in table
    assert json.loads((tmp_path / "s.json").read_text())["model"]["name"] == "crossray-tiny"


def test_a_folder_without_train_studies_is_told_before_the_work(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    write_studies(tmp_path, read_studies(folder, "test"))
    with pytest.raises(DataError, match="--train"):
        evaluate(tiny_generator, tmp_path, EvaluationOptions(progress=False))


@pytest.mark.parametrize(
    ("arguments", "message"), [({"split": "validate"}, "validate"), ({"limit": 0}, "limit of 0")]
)
def test_nothing_to_evaluate_is_an_error(
    folder: Path, tiny_generator: ReportGenerator, arguments: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(tiny_generator, folder, EvaluationOptions(progress=False, **arguments))


def test_a_folder_without_boxes_has_scores_of_its_words_alone(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    bare = (replace(s, findings=(), phrases=()) for s in read_studies(folder))
    write_studies(tmp_path, bare)
    (tmp_path / "images").symlink_to(folder / "images")
    evaluation = evaluate(tiny_generator, tmp_path, EvaluationOptions(progress=False))
    assert evaluation.findings is None
    assert evaluation.texts.scores["bleu_1"].n == evaluation.studies
    assert set(evaluation.texts.baselines) == {"constant", "random", "retrieval"}
    assert "not all that is there has a box" in report_table(evaluation)
    write_json(evaluation, tmp_path / "scores.json")
    assert "finding_f1" not in json.loads((tmp_path / "scores.json").read_text())


def test_predictions_score_as_they_did_in_the_evaluation(
    folder: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    write_predictions(evaluation, tmp_path / "predictions.json")
    out = tmp_path / "scores.json"
    run_score(tmp_path / "predictions.json", folder, json_file=out)
    told = json.loads(out.read_text())
    assert told["scores"] == json.loads(json.dumps(asdict(evaluation.texts)))["scores"]
    # The same file is a file of references: its sections are the true reports.
    run_score(tmp_path / "predictions.json", tmp_path / "predictions.json", json_file=out)
    same = json.loads(out.read_text())["scores"]
    assert same["bleu_1"] == told["scores"]["bleu_1"]


def test_a_checkpoint_is_not_damaged_by_a_card_and_a_folder_is_no_file(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"another README\.md would damage"):
        run_evaluation(tiny_checkpoint, folder, Outputs(card=tiny_checkpoint))
    with pytest.raises(DataError, match="is a folder: name a file in it"):
        run_evaluation(tiny_checkpoint, folder, Outputs(json_file=tmp_path))


def test_on_imported_data_nothing_is_called_wrong_for_want_of_a_box(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    write_studies(tmp_path, read_studies(folder))
    (tmp_path / "images").symlink_to(folder / "images")
    (tmp_path / "prepared.json").write_text('{"source": "mimic-cxr"}')
    assert (
        evaluate(tiny_generator, tmp_path, EvaluationOptions(limit=3, progress=False)).findings
        is None
    )


def test_the_card_has_every_number_and_its_images(
    evaluation: Evaluation, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    validation = [{"step": 10.0, "loss": 2.0, "pointing": 0.5}]
    record = {
        **{"step": 10, "seconds": 60.0, "settings": {"batch": 4, "seed": 1}},
        **{"data": {"manifest_sha256": "ab"}, "validation": validation},
    }
    write_card(evaluation, tiny_generator, {**record, "initial": record}, tmp_path / "card")
    text = (tmp_path / "card" / "README.md").read_text()
    for name in ("finding_f1.macro", "normal_recall", "bleu_4", "macro_f1_14"):
        assert f"| {name} |" in text
    for file in re.findall(r"\]\((\w+\.png)\)", text):
        assert cv2.imread(str(tmp_path / "card" / file)) is not None
    assert "training.png" in text and "findings.png" in text
    assert tiny_generator.model.config.notice in text and evaluation.sha256 in text
    with pytest.raises(DataError, match="cannot write the card"):
        write_card(evaluation, tiny_generator, record, tmp_path / "card" / "README.md")


def test_a_missing_checkpoint_is_a_typed_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        run_evaluation(tmp_path / "absent", folder)


# Baselines


def test_the_best_constant_is_the_best_of_all_train_reports(folder: Path) -> None:
    train = list(read_studies(folder, "train"))

    def macro(report: str) -> float:
        value = score_findings(train, [report] * len(train)).finding_f1["macro"].value
        assert value is not None
        return value

    assert macro(best_constant(train)) == max(macro(study.report) for study in train)


def test_a_image_is_nearest_to_itself_whatever_its_exposure(folder: Path) -> None:
    train = list(read_studies(folder, "train"))
    pixels = [read_image(folder / study.images[0].path).pixels for study in train]
    dimmed = [thumbnail(Radiograph(0.6 * p + 0.1, None)) for p in pixels]
    assert nearest(folder, train, dimmed) == [study.report for study in train]
