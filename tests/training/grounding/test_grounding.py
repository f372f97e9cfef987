"""Laws of `crossray grounding`: what is measured on what, and what is written of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from grounding_material import save, write_phantoms

from data_prep.manifest import (
    FINDINGS,
    Finding,
    Image,
    Phrase,
    Study,
    read_studies,
    write_studies,
)
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from model.heatmap import WORD, TokenAttention, Word
from model.imaging.letterbox import Letterbox
from training.bootstrap import Bootstrap
from training.evaluation.named_words import named_words
from training.grounding.cases import of_boxes, of_folder, one_side, patches_inside, whole_phrases
from training.grounding.command import GroundingOutputs, run_grounding
from training.grounding.map_scores import MEASURES
from training.grounding.measure import Options, ground
from training.grounding.methods import DEFAULT, METHODS
from training.grounding.occluded_findings import OCCLUSION
from training.grounding.results import Grounding
from training.grounding.table import table
from training.grounding.word_states import Words
from training.teacher_forcing import text_of

FEW = Options(sample=1, occluded=3, progress=False)
QUICK = (DEFAULT, "uniform")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "prepared"
    write_phantoms(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("tiny") / "checkpoint", list(read_studies(folder)))


@pytest.fixture(scope="module")
def generator(checkpoint: Path) -> ReportGenerator:
    return ReportGenerator.load(checkpoint)


@pytest.fixture(scope="module")
def measured(folder: Path, generator: ReportGenerator) -> Grounding:
    studies, subjects = of_folder(folder, generator.tokenizer, generator.model.config)
    return ground(generator, studies, subjects, "0" * 64, FEW)


def test_all_methods_are_measured_on_the_same_words(folder: Path, measured: Grounding) -> None:
    counted = {name: of["all"]["pointing_game"].n for name, of in measured.methods.items()}
    slow, counts = counted.pop("occlusion"), set(counted.values())
    assert len(counts) == 1 and slow < min(counts)
    words = 0
    for study in read_studies(folder):
        for phrase in study.phrases:
            words += len(study.report[phrase.start : phrase.end].split())
    assert words <= min(counts) <= 1.2 * words


def test_the_uniform_map_scores_what_boxes_cover(folder: Path, measured: Grounding) -> None:
    scores = measured.methods["uniform"]["hyperinflation"]
    shares = [
        (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) / study.images[0].width ** 2
        for study in read_studies(folder)
        for f in study.findings
        if f.name == "hyperinflation"
    ]
    assert scores["mass"].value is not None
    assert min(shares) - 0.01 <= scores["mass"].value <= max(shares) + 0.01
    assert scores["cnr"].value == 0


def test_every_number_has_an_interval_and_a_count(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "maps.json"
    run_grounding(checkpoint, folder, GroundingOutputs(file), replace(FEW, methods=QUICK, limit=6))
    answer = json.loads(file.read_text())
    assert list(answer["methods"]) == list(QUICK)
    for scored in (*answer["methods"].values(), answer["own_report"]):
        assert {"all", "small", "middle", "large", "small nodule"} <= set(scored)
    assert set(answer["methods"]["uniform"]["all"]) == set(MEASURES)
    assert set(answer["occlusion"]["all"]) == set(OCCLUSION)
    assert {"precision", "recall", "f1", "best_grounded_share"} <= set(answer["words"])
    numbers = list(_leaves([answer[k] for k in ("methods", "own_report", "occlusion", "words")]))
    assert numbers and all(set(number) == {"value", "low", "high", "n"} for number in numbers)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.json"]


def _leaves(tree: object) -> Iterator[dict]:
    if isinstance(tree, list):
        for part in tree:
            yield from _leaves(part)
    elif isinstance(tree, dict):
        if any(not isinstance(value, dict) for value in tree.values()):
            yield tree
        else:
            yield from _leaves(list(tree.values()))


def test_the_table_names_methods_findings_and_tests(measured: Grounding) -> None:
    printed = table(measured)
    for name in (*measured.methods, "small nodule", "control_fallen", "best_f1", "nodule"):
        assert name in printed
    assert "words of the reference report" in printed and "model's own report" in printed


def test_heads_are_named(measured: Grounding) -> None:
    assert set(measured.heads) == {"even rows", "odd rows"}
    assert all(name.startswith("layer ") for half in measured.heads.values() for name in half)


def test_sheets_of_good_and_bad_cases_are_written(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    sheets = tmp_path / "sheets"
    outputs = GroundingOutputs(sheets=sheets)
    run_grounding(checkpoint, folder, outputs, replace(FEW, methods=QUICK, limit=6))
    assert sorted(path.name for path in sheets.iterdir()) == ["bad.png", "good.png"]
    good, bad = (cv2.imread(str(sheets / name)) for name in ("good.png", "bad.png"))
    assert good.shape == bad.shape and not np.array_equal(good, bad)


def test_a_folder_without_phrases_or_an_unknown_method_is_told(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    write_studies(tmp_path, (replace(s, phrases=()) for s in read_studies(folder)))
    with pytest.raises(DataError, match="phrases with boxes"):
        run_grounding(checkpoint, tmp_path)
    with pytest.raises(ConfigError, match="guess"):
        run_grounding(checkpoint, folder, options=replace(FEW, methods=("guess",)))
    with pytest.raises(DataError, match="no folder"):
        run_grounding(checkpoint, folder, GroundingOutputs(tmp_path / "absent" / "maps.json"))


# Box files


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images at different depths, of 64 x 48 pixels."""
    folder = tmp_path / "images"
    for name in ("a/one.png", "two.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((64, 48), 90, np.uint8))
    return folder


BOX_FILES = {
    "nih.csv": "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "one.png,Effusion,0,512,512,512,,,\nlost.png,Mass,1,2,3,4,,,\n",
    "ms.csv": "category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id\n"
    "Edema,mild edema,p/one.jpg,0,64,48,64,96,128,one\n"
    "Edema,mild edema,p/lost.jpg,0,64,48,64,96,128,lost\n",
    "vindr.csv": "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\n"
    "one,R1,Cardiomegaly,0,32,24,64\ntwo,R1,No finding,,,,\nlost,R1,Mass,0,0,1,1\n",
    "ms.json": json.dumps(
        {
            "images": [
                {"id": 1, "file_name": "one.jpg", "width": 96, "height": 128},
                {"id": 2, "file_name": "lost.jpg", "width": 96, "height": 128},
            ],
            "categories": [{"id": 1, "name": "Edema"}],
            "annotations": [
                {"image_id": k, "category_id": 1, "bbox": [0, 64, 48, 64], "label_text": "edema"}
                for k in (1, 2)
            ],
        }
    ),
}


@pytest.mark.parametrize("name", BOX_FILES)
def test_every_layout_leads_to_the_same_box_on_the_image(
    generator: ReportGenerator, images: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text(BOX_FILES[name])
    [subject], missing = of_boxes(file, images, generator.tokenizer, generator.model.config)
    assert missing == ["lost"]
    [case] = subject.cases
    [(image, box)] = case.on(subject.read()).places
    assert image == 0 and box == pytest.approx((0, 32, 24, 64))
    said = subject.text.characters
    assert said == f"Findings: There is a {said[case.start : case.end]}."


def test_of_real_images_only_the_place_is_measured(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(BOX_FILES["nih.csv"] + "two.png,Effusion,0,512,512,512,,,\n")
    outputs, options = GroundingOutputs(tmp_path / "s.json"), replace(FEW, methods=QUICK)
    printed = run_grounding(checkpoint, images, outputs, options, file)
    answer = json.loads((tmp_path / "s.json").read_text())
    assert "1 images of it are not there: lost" in printed and answer["missing"] == ["lost"]
    assert answer["occlusion"] is answer["own_report"] is answer["words"] is None
    mass = answer["methods"]["uniform"]["Effusion"]["mass"]
    assert mass["value"] == pytest.approx(0.25, abs=0.01) and mass["n"] == 2


def test_boxes_of_a_larger_image_and_folders_without_any_are_told(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(BOX_FILES["vindr.csv"].replace("0,32,24,64", "0,32,2400,640"))
    with pytest.raises(DataError, match="size the boxes were drawn on"):
        run_grounding(checkpoint, images, options=replace(FEW, methods=QUICK), boxes=file)
    (images / "empty").mkdir()
    with pytest.raises(DataError, match="none of the 2 images"):
        run_grounding(checkpoint, images / "empty", boxes=file)


# Cases


def _study(*findings: Finding) -> Study:
    text = "Findings: Left line and clear lungs."
    phrase = Phrase(10, 19, tuple(range(len(findings))))
    return Study("1", "test", (Image("", 64, 64, "PA"),), text, findings, (phrase,))


def test_sides_are_asked_where_a_perfect_map_would_agree() -> None:
    left, right = (40, 0, 60, 60), (4, 0, 24, 60)
    line = Finding("central_line", None, "left", None, left)
    assert one_side(_study(line), [line]) == "left"
    assert one_side(_study(line), [replace(line, box=right)]) is None
    assert one_side(_study(line), [line, replace(line, side="right", box=right)]) is None
    assert one_side(_study(line), [replace(line, side=None)]) is None


def test_a_whole_phrase_has_the_tokens_of_its_words(
    folder: Path, generator: ReportGenerator
) -> None:
    _, subjects = of_folder(folder, generator.tokenizer, generator.model.config)
    for subject in subjects:
        whole = whole_phrases(subject)
        assert len(whole.cases) == len({case.phrase for case in subject.cases})
        tokens = {int(k) for case in subject.cases for k in case.span}
        assert {int(k) for case in whole.cases for k in case.span} == tokens


def test_patches_inside_are_those_whose_center_is() -> None:
    places = [Letterbox(128, 64, 64)]
    inside = patches_inside(places, [(0, (0, 0, 32, 128))], (8, 8)).reshape(8, 8)
    assert inside.any(axis=0).tolist() == [False] * 2 + [True] * 2 + [False] * 4
    tiny = patches_inside(places, [(0, (1, 1, 2, 2))], (8, 8)).reshape(8, 8)
    assert tiny.sum() == 1 and tiny[0, 2]


def test_states_are_scored_as_by_hand(generator: ReportGenerator) -> None:
    text = text_of(generator.tokenizer, "Left line clear", 99)
    attention = np.zeros((len(text.tokens), 2), np.float32)
    shares = dict(zip(text.words(), (0.9, 0.3, 0.7), strict=True))
    for (start, end), share in shares.items():
        attention[text.tokens_of(start, end), 0] = share
    told = np.full(len(text.tokens), -1.0, np.float32)
    words = Words()
    words.add(0, text, (Phrase(0, 9, (0,)),), TokenAttention(attention, told, told - 1))
    scores = words.scores(0.5, Bootstrap(1))
    assert scores["precision"].value == scores["recall"].value == scores["f1"].value == 0.5
    assert scores["f1"].n == 2
    assert scores["best_f1"].value == pytest.approx(0.8)
    assert scores["evidence_of_finding_words"].value == pytest.approx(
        len(np.unique(np.concatenate([text.tokens_of(0, 4), text.tokens_of(5, 9)]))) / 2
    )


def _words(text: str) -> list[Word]:
    nowhere = np.zeros((1, 8, 8), np.float32)
    return [
        Word(match[0], *match.span(), 1.0, 0.0, "grounded", nowhere)
        for match in WORD.finditer(text)
    ]


def test_a_word_of_the_wrong_side_means_no_box() -> None:
    finding = Finding("pleural_effusion", "mild", "left", None, (40, 40, 60, 60))
    study = _study(finding)

    for side, meant in (("Left", (finding,)), ("Right", ())):
        text = f"{side} pleural effusion."
        found = list(named_words(study, text, _words(text)))
        assert [named.word for named in found] == [1, 2]
        assert all(named.meant == meant and named.sides == {side.lower()} for named in found)


def test_findings_are_those_of_the_manifest(measured: Grounding) -> None:
    groups = set(measured.methods[DEFAULT]) - {"all", "small", "middle", "large", "small nodule"}
    assert groups <= set(FINDINGS)
    assert asdict(measured)["studies"] == 12
    assert set(METHODS) - {"each layer"} <= set(measured.methods)
