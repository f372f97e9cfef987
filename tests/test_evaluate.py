"""Laws of an evaluation: the truth scores 1, a constant cannot hide, maps are held to their boxes.

Everything runs on small real phantoms and a tiny real model.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.phantom import make_phantom
from data_prep.study import FINDINGS, Finding, Picture, Study, read_studies, write_studies
from model.checkpoint import ModelIdentity
from model.errors import CheckpointError, DataError
from model.geometry import Letterbox
from model.heatmap import Word
from model.image import Radiograph, read_image
from model.report import Report, ReportGenerator
from training.evaluate import (
    Evaluation,
    Looks,
    evaluate,
    report_table,
    run_evaluation,
    score_texts,
    write_json,
)
from training.floors import best_constant, nearest, thumbnail, train_studies

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
    assert cv2.imwrite(str(out / path), np.round(phantom.pixels * 255).astype(np.uint8))
    picture = Picture(path, SIZE, SIZE, phantom.view)
    split = "train" if index < 18 else "test"
    return Study(
        f"{index:07d}", split, (picture,), phantom.report, phantom.findings, phantom.phrases
    )


@pytest.fixture(scope="module")
def evaluation(folder: Path, tiny_generator: ReportGenerator) -> Evaluation:
    return evaluate(tiny_generator, folder, progress=False)


def test_the_true_reports_score_1_everywhere(folder: Path) -> None:
    studies = list(read_studies(folder))
    scores = score_texts(studies, [study.report for study in studies])
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
        scores = score_texts([study], [f"{place} opacity."])
        assert (scores.side_accuracy.value, scores.zone_accuracy.value) == (side, zone)
        assert scores.finding_f1["opacity"].value == 1


def test_places_are_only_asked_of_true_positives() -> None:
    finding = Finding("pneumothorax", "mild", "left", None, (0, 0, 8, 8))
    studies = [Study("1", "test", (), "", (finding,)), Study("2", "test", (), "")]
    scores = score_texts(studies, ["No pneumothorax.", "Right pneumothorax."])
    assert scores.side_accuracy.n == 0
    assert scores.normal_recall.value == 0


def test_a_model_that_only_says_normal_is_found_out(evaluation: Evaluation) -> None:
    scores = evaluation.scores
    assert scores.finding_f1["macro"].value == 0
    assert scores.normal_recall.value == 1
    assert scores.distinct_reports.value == 1
    assert scores.pointing_game.value is None


def test_it_is_measured_on_the_test_split_only(folder: Path, evaluation: Evaluation) -> None:
    tests = list(read_studies(folder, "test"))
    assert (evaluation.split, evaluation.studies) == ("test", len(tests))
    normal = sum(not study.findings for study in tests)
    assert evaluation.scores.normal_recall.n == normal
    assert evaluation.scores.distinct_reports.n == len(tests)


def test_every_study_counts_where_another_folder_was_trained_on(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    (tmp_path / "images").symlink_to(folder / "images")
    write_studies(tmp_path, read_studies(folder))
    fresh = evaluate(tiny_generator, folder, train=tmp_path, progress=False)
    assert (fresh.split, fresh.studies) == ("all", 30)
    # The train pictures are looked up among themselves, so 18 of 30 are found again.
    assert fresh.retrieval.distinct_reports.value is not None
    assert fresh.retrieval.distinct_reports.value >= 15


def test_limit_takes_the_first(folder: Path, tiny_generator: ReportGenerator) -> None:
    few = evaluate(tiny_generator, folder, limit=3, batch_size=2, progress=False)
    assert few.studies == few.scores.distinct_reports.n == 3


def test_json_has_the_stable_names(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(evaluation, tmp_path / "scores.json")
    answer = json.loads((tmp_path / "scores.json").read_text())
    for scores in (answer, answer["floors"]["constant"], answer["floors"]["retrieval"]):
        for name in NAMES:
            by_finding = name.startswith("finding_")
            parts = (
                [scores[name][f] for f in ("macro", *FINDINGS)] if by_finding else [scores[name]]
            )
            assert all(set(part) == {"value", "low", "high", "n"} for part in parts)
    assert answer["floors"]["constant"]["pointing_game"]["value"] is None
    assert answer["floors"]["constant"]["distinct_reports"]["value"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_the_table_shows_what_the_json_holds(evaluation: Evaluation) -> None:
    table = report_table(evaluation)
    for name in ("finding_f1.macro", "finding_recall.nodule", "normal_recall", "pointing_game"):
        assert re.search(rf"^{re.escape(name)} .*\[", table, re.MULTILINE), name
    recall = evaluation.scores.normal_recall
    line = next(line for line in table.splitlines() if line.startswith("normal_recall"))
    assert f"{recall.value:.3f} [{recall.low:.3f}, {recall.high:.3f}]" in line


def test_the_command_loads_evaluates_and_writes(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    table = run_evaluation(tiny_checkpoint, folder, tmp_path / "s.json", None, 2, "cpu")
    assert "crossray-tiny on 2 studies" in table
    assert json.loads((tmp_path / "s.json").read_text())["model"]["name"] == "crossray-tiny"


def test_a_folder_without_train_studies_is_told_before_the_work(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    write_studies(tmp_path, read_studies(folder, "test"))
    with pytest.raises(DataError, match="--train"):
        evaluate(tiny_generator, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"split": "validate"}, "validate"), ({"limit": 0}, "limit of 0")]
)
def test_nothing_to_evaluate_is_an_error(
    folder: Path, tiny_generator: ReportGenerator, arguments: dict, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(tiny_generator, folder, progress=False, **arguments)


def test_a_folder_without_truth_is_an_error(
    folder: Path, tiny_generator: ReportGenerator, tmp_path: Path
) -> None:
    write_studies(tmp_path, (replace(s, findings=(), phrases=()) for s in read_studies(folder)))
    with pytest.raises(DataError, match="has findings"):
        evaluate(tiny_generator, tmp_path, progress=False)


def test_a_missing_checkpoint_is_a_typed_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        run_evaluation(tmp_path / "absent", folder)


# Floors


def test_the_best_constant_is_the_best_of_all_train_reports(folder: Path) -> None:
    train = list(read_studies(folder, "train"))

    def macro(report: str) -> float:
        value = score_texts(train, [report] * len(train)).finding_f1["macro"].value
        assert value is not None
        return value

    assert macro(best_constant(train)) == max(macro(study.report) for study in train)


def test_a_picture_is_nearest_to_itself_whatever_its_exposure(folder: Path) -> None:
    train = list(read_studies(folder, "train"))
    pixels = [read_image(folder / study.pictures[0].path).pixels for study in train]
    dimmed = [thumbnail(Radiograph(0.6 * p + 0.1, None)) for p in pixels]
    assert nearest(folder, train, dimmed) == [study.report for study in train]


def test_floors_never_use_an_evaluated_study(folder: Path) -> None:
    train = list(read_studies(folder, "train"))
    assert train_studies(folder, train[:5]) == train[5:]


# Maps

TEXT = "Small left pleural effusion. No pneumothorax."
PLACE = Letterbox(SIZE, SIZE, SIZE)
LEFT, RIGHT = (48, 48, 64, 64), (0, 48, 16, 64)


def _look(at: tuple[int, int]) -> np.ndarray:
    heatmap = np.full((1, 4, 4), 0.1 / 15, np.float32)
    heatmap[0, at[0], at[1]] = 0.9
    return heatmap


def _report(text: str, at: tuple[int, int]) -> Report:
    """A report whose every word looked at patch (row, column) of a 4 by 4 grid."""
    words = tuple(Word(m[0], m.start(), m.end(), 0.9, _look(at)) for m in re.finditer(r"\w+", text))
    return Report(text, (), words, (PLACE,), ("PA",), ModelIdentity("x", "0" * 64))


def _looked(text: str, at: tuple[int, int], findings: tuple[Finding, ...]) -> Looks:
    looks = Looks(1)
    looks.add(0, Study("1", "test", (), text, findings), _report(text, at))
    return looks


def _effusion(side: str, box: tuple[int, int, int, int]) -> Finding:
    return Finding("pleural_effusion", "mild", side, None, box)


def test_only_words_that_name_a_true_finding_are_measured() -> None:
    looks = _looked(TEXT, (3, 3), (_effusion("left", LEFT),))
    assert looks.words.sum() == 2  # "pleural" and "effusion"
    assert _looked(TEXT, (3, 3), ()).words.sum() == 0


def test_a_map_on_the_box_hits_and_a_map_beside_it_misses() -> None:
    there = _looked(TEXT, (3, 3), (_effusion("left", LEFT),))
    beside = _looked(TEXT, (0, 0), (_effusion("left", LEFT),))
    assert (there.hits.sum(), beside.hits.sum()) == (2, 0)
    assert there.contrasts.sum() > 2 * beside.contrasts.sum() > 0


def test_a_word_said_of_one_side_is_held_to_that_side() -> None:
    both = (_effusion("left", LEFT), _effusion("right", RIGHT))
    assert _looked(TEXT, (3, 0), both).hits.sum() == 0
    assert _looked("Bilateral pleural effusions.", (3, 0), both).hits.sum() == 2


def test_a_word_said_of_the_wrong_side_misses_wherever_it_looked() -> None:
    for at in ((3, 0), (3, 3)):
        looks = _looked(TEXT, at, (_effusion("right", RIGHT),))
        assert (looks.words.sum(), looks.hits.sum()) == (2, 0)


def test_the_maximum_must_lie_on_the_right_picture() -> None:
    pictures = replace(_report(TEXT, (3, 3)), placements=(PLACE, PLACE), views=("PA", "PA"))
    second = [np.concatenate([0 * w.heatmap, w.heatmap]) for w in pictures.words]
    words = tuple(replace(w, heatmap=look) for w, look in zip(pictures.words, second, strict=True))
    for picture, hits in ((0, 0), (1, 2)):
        looks = Looks(1)
        finding = replace(_effusion("left", LEFT), picture=picture)
        looks.add(0, Study("1", "test", (), TEXT, (finding,)), replace(pictures, words=words))
        assert looks.hits.sum() == hits


def test_boxes_are_in_original_pixels_of_a_picture_that_is_not_square() -> None:
    tall = replace(_report(TEXT, (3, 2)), placements=(Letterbox(128, 64, SIZE),))
    # Of the 4 columns the middle two lie on the picture; row 3, column 2 is its lower right.
    for box, hits in (((32, 96, 64, 128), 2), ((0, 96, 32, 128), 0), ((32, 0, 64, 32), 0)):
        looks = Looks(1)
        looks.add(0, Study("1", "test", (), TEXT, (_effusion("left", box),)), tall)
        assert looks.hits.sum() == hits
