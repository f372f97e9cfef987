"""Labels whose findings get the lungs as their region, and what training makes of it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_config
from tokenizers import Tokenizer

from data_prep.datasets.attach_lungs import attach_lungs
from data_prep.datasets.nih import report
from data_prep.manifest import FINDINGS, Image, Study, manifest_hash, read_studies, write_studies
from data_prep.output import write_json
from data_prep.phantom.patient import sample_patient
from data_prep.phantom.views import draw_anatomy
from data_prep.tokenizer import train_tokenizer
from model.anatomy import segment
from model.errors import DataError
from training.config import DropConfig
from training.dataset.batches import Batches, Variation
from training.dataset.samples import StudyEncoder
from training.dataset.split import load_split
from training.losses import containment_loss

SIZE = 128
LABELS = (frozenset({"Effusion", "Cardiomegaly"}), frozenset[str](), frozenset({"Infiltration"}))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labeled")
    (folder / "images").mkdir()
    studies = []
    for number, present in enumerate(LABELS):
        rng = np.random.default_rng(number)
        view, _ = draw_anatomy(sample_patient(rng), [], SIZE, rng)
        path = f"images/{number}.png"
        cv2.imwrite(str(folder / path), np.round(view.pixels * 255).astype(np.uint8))
        labels = {name: int(name in present) for name in ("Effusion", "Infiltration")}
        image = Image(path, SIZE, SIZE, "PA")
        studies.append(Study(f"s{number}", "train", (image,), report(present), labels=labels))
    write_studies(folder, studies)
    write_json(
        folder / "prepared.json", {"source": "nih", "manifest_sha256": manifest_hash(folder)}
    )
    train_tokenizer(study.report for study in studies).save(str(folder / "tokenizer.json"))
    done = attach_lungs(folder)
    assert (done.studies, done.unclear) == (2, 0)
    return folder


def test_words_of_lung_findings_point_into_the_lungs(prepared: Path) -> None:
    effusion, normal, opacity = read_studies(prepared)
    assert normal.findings == normal.phrases == () and normal.images[0].mask is None
    for study, name in ((effusion, "pleural_effusion"), (opacity, "opacity")):
        [finding] = study.findings
        assert finding.name == name and finding.weak and finding.side is None
        assert [study.report[p.start : p.end] for p in study.phrases] == [
            study.report.split(".")[0]
        ]
        mask = cv2.imread(str(prepared / (study.images[0].mask or "")), cv2.IMREAD_UNCHANGED)
        assert mask is not None and set(np.unique(mask)) == {0, 1 << FINDINGS.index(name)}
        pixels = cv2.imread(str(prepared / study.images[0].path), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        lungs = segment(pixels.astype(np.float32) / 255).lungs
        assert lungs is not None and (mask[lungs] > 0).mean() > 0.99
        x0, y0, x1, y1 = finding.box
        assert mask[y0:y1, x0:x1].sum() == mask.sum()


def test_once_is_enough_and_an_unfinished_folder_is_refused(prepared: Path, tmp_path: Path) -> None:
    note = json.loads((prepared / "prepared.json").read_text())
    assert note["manifest_sha256"] == manifest_hash(prepared)
    with pytest.raises(DataError, match="already"):
        attach_lungs(prepared)
    write_studies(tmp_path, [])
    with pytest.raises(DataError, match="cannot be read"):
        attach_lungs(tmp_path)


def test_a_region_guides_and_is_never_occluded(prepared: Path) -> None:
    tokenizer = Tokenizer.from_file(str(prepared / "tokenizer.json"))
    encoder = StudyEncoder(tokenizer, tiny_config(image_size=64, max_tokens=60), (8, 8), False)
    split = load_split(prepared, "train", encoder)
    drop = DropConfig(frontal=0, lateral=0, prior=0, indication=0, finding=1)
    batch = Batches(split, 3, 0, Variation(drop=drop)).make([0, 1, 2], 0)
    assert batch.weak[:, 0].tolist() == [1, 0, 1] and not batch.occluded.any()
    assert (batch.coverage.sum(-1)[:, 0] > 0).tolist() == [True, False, True]


def test_where_in_the_region_attention_goes_is_left_open() -> None:
    region = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    mentions = torch.tensor([[[1.0], [0.0]]])
    spread = torch.tensor([[[0.0, 0.5, 0.5, 0.0, 0.0]] * 2])
    narrow = torch.tensor([[[0.0, 0.0, 1.0, 0.0, 0.0]] * 2])
    half = torch.tensor([[[0.3, 0.5, 0.0, 0.2, 0.0]] * 2])
    assert containment_loss(spread, mentions, region) == containment_loss(narrow, mentions, region)
    assert containment_loss(spread, mentions, region) == pytest.approx(0.0, abs=1e-6)
    assert containment_loss(half, mentions, region) == pytest.approx(0.6931, abs=1e-3)
    assert containment_loss(half, 0 * mentions, region) == 0
