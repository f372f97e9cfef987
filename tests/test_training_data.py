"""What reaches the model: the prepared folder, moved but never mirrored, in a fixed order."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from prepared_folder import PLACES, SIZE, write_prepared
from tokenizers import Tokenizer

from data_prep.study import FINDINGS, Finding, Phrase, read_studies, write_studies
from model.errors import DataError
from training.augment import Augmentation
from training.config import AugmentConfig
from training.data import Batches, Split, load_split, stream

GRID = (8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    return load(folder)


def load(folder: Path, **changes: int) -> Split:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    asked = {"size": SIZE, "grid": GRID, "max_tokens": 40, **changes}
    return load_split(folder, "train", tokenizer, **asked)


def equal(one, other) -> bool:
    return all(torch.equal(value, vars(other)[name]) for name, value in vars(one).items())


def test_tokens_of_a_phrase_speak_of_its_finding_and_no_others_do(
    folder: Path, split: Split
) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    studies = list(read_studies(folder, "train"))
    row = next(i for i, study in enumerate(studies) if study.phrases)
    batch = Batches(split, 1, 0, None).make([row], 0)
    labels, spoken = batch.tokens[0, 1:], batch.mentions[0, :, 0] > 0
    phrase = studies[row].phrases[0]
    said = tokenizer.decode(labels[spoken].tolist())
    assert said.strip() == studies[row].report[phrase.start : phrase.end]
    assert tokenizer.decode(labels.tolist()) == studies[row].report


def test_words_lead_up_to_the_next_finding_of_their_sentence(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "leads", studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    text = "Findings: The lungs are clear. There is a left opacity and a right opacity."
    spans = [(text.index(side), text.index(side) + len(side) + 8) for side in ("left", "right")]
    both = tuple(Finding("opacity", "mild", side, None, PLACES[side]) for side in ("left", "right"))
    phrases = tuple(Phrase(*span, (j,)) for j, span in enumerate(spans))
    write_studies(folder, [replace(study, report=text, findings=both, phrases=phrases)])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    batch = Batches(load(folder), 1, 0, None).make([0], 0)
    labels = batch.tokens[0, 1:]
    led = [tokenizer.decode(labels[batch.leads[0, :, j] > 0].tolist()).strip() for j in (0, 1)]
    assert led == ["There is a", "and a"]
    assert not (batch.leads * batch.mentions).any()


def test_coverage_is_the_share_of_each_patch_inside_the_finding(folder: Path, split: Split) -> None:
    studies = list(read_studies(folder, "train"))
    row = next(i for i, s in enumerate(studies) if s.findings and s.findings[0].side == "left")
    batch = Batches(split, 1, 0, None).make([row], 0)
    x0, y0, x1, y1 = PLACES["left"]
    plane = np.zeros((SIZE, SIZE), np.float32)
    plane[y0:y1, x0:x1] = 1
    expected = plane.reshape(8, 8, 8, 8).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(batch.coverage[0, 0].numpy(), expected, atol=1e-6)
    assert batch.kinds[0].tolist() == [FINDINGS.index("opacity")]
    assert batch.present()[0].sum() == 1


def test_a_normal_study_covers_and_mentions_nothing(folder: Path, split: Split) -> None:
    studies = list(read_studies(folder, "train"))
    row = next(i for i, study in enumerate(studies) if not study.findings)
    batch = Batches(split, 1, 0, None).make([row], 0)
    assert batch.coverage.sum() == batch.mentions.sum() == batch.present().sum() == 0
    assert batch.kinds.tolist() == [[-1]]


def test_findings_that_share_a_mask_bit_are_told_apart_by_their_boxes(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "two", studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    bits = np.zeros((SIZE, SIZE), np.uint16)
    for x0, y0, x1, y1 in PLACES.values():
        bits[y0:y1, x0:x1] = 1 << FINDINGS.index("opacity")
    mask = study.pictures[0].mask
    assert mask is not None
    cv2.imwrite(str(folder / mask), bits)
    both = tuple(Finding("opacity", "mild", side, None, PLACES[side]) for side in PLACES)
    phrases = (Phrase(0, 8, (0,)), Phrase(10, 15, (0, 1)))
    write_studies(folder, [replace(study, findings=both, phrases=phrases)])
    batch = Batches(load(folder), 1, 0, None)[0]
    right, left = batch.coverage[0].reshape(2, *GRID)
    assert right[:, :4].sum() == right.sum() > 0
    assert left[:, 4:].sum() == left.sum() > 0
    assert batch.mentions[0].sum(dim=0)[0] > batch.mentions[0].sum(dim=0)[1] > 0


def test_without_a_mask_the_box_counts(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "boxes", studies=4)
    with_mask = load(folder)
    boxes = [
        replace(s, pictures=(replace(s.pictures[0], mask=None),))
        for s in read_studies(folder, "train")
    ]
    write_studies(folder, boxes)
    np.testing.assert_array_equal(load(folder).areas, with_mask.areas)


def test_a_picture_of_another_aspect_keeps_its_finding_in_place(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "wide", studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    wide = np.zeros((40, 80), np.uint8)
    wide[10:20, 60:70] = 255
    cv2.imwrite(str(folder / study.pictures[0].path), wide)
    picture = replace(study.pictures[0], width=80, height=40, mask=None)
    finding = replace(study.findings[0], box=(60, 10, 70, 20))
    write_studies(folder, [replace(study, pictures=(picture,), findings=(finding,))])
    split = load(folder)
    bright = split.pictures[0] > 127
    covered = split.areas[0].repeat(2, axis=0).repeat(2, axis=1) > 0
    assert (bright & covered).sum() / (bright | covered).sum() > 0.7


def test_augmentation_moves_the_picture_and_its_areas_together() -> None:
    areas = np.zeros((96, 96), np.uint16)
    areas[20:50, 60:80] = 1 << 3
    picture = (areas > 0).astype(np.uint8) * 200
    augment = Augmentation(AugmentConfig(brightness=0, contrast=0, gamma=0, noise=0, blur=0))
    moved = 0
    for seed in range(40):
        augment.seed(seed)
        seen, bits = augment(picture, areas)
        assert set(np.unique(bits)) <= {0, 1 << 3}
        bright, covered = seen > 100, bits > 0
        assert (bright & covered).sum() / (bright | covered).sum() > 0.9
        moved += not np.array_equal(covered, areas > 0)
    assert moved > 20


def test_nothing_is_ever_mirrored() -> None:
    """A marker at the patient's right and another below stay there, whatever is drawn."""
    picture = np.full((96, 96), 40, np.uint8)
    picture[20:32, 8:20] = 255
    picture[70:90, 40:60] = 255
    areas = np.zeros_like(picture, np.uint16)
    augment = Augmentation(AugmentConfig())
    for seed in range(200):
        augment.seed(seed)
        seen, _ = augment(picture, areas)
        assert seen[10:45, :35].max() > seen[10:45, 61:].astype(int).max() + 50
        assert seen[60:, 30:70].max() > seen[:36, 40:60].astype(int).max() + 50


def test_a_step_has_the_same_batch_however_it_is_reached(split: Split) -> None:
    batches = Batches(split, 6, 5, AugmentConfig())
    whole = list(stream(batches, range(0, 5), workers=0))
    late = list(stream(Batches(split, 6, 5, AugmentConfig()), range(3, 5), workers=1))
    assert all(equal(one, other) for one, other in zip(whole[3:], late, strict=True))
    assert not equal(whole[0], Batches(split, 6, 6, AugmentConfig())[0])


def test_every_study_is_seen_once_an_epoch(split: Split) -> None:
    batches = Batches(split, 8, 1, None)
    epochs = len(split) // 8
    seen = torch.cat([batches[step].pictures for step in range(epochs)]).flatten(1).numpy()
    there = split.pictures.reshape(len(split), -1)
    assert sorted(map(bytes, seen)) == sorted(map(bytes, there))


def test_model_pictures_are_what_the_letterbox_makes(split: Split) -> None:
    pictures = Batches(split, 2, 0, None)[0].model_pictures()
    assert pictures.shape == (2, 1, 1, SIZE, SIZE)
    assert pictures.min() >= -1
    assert pictures.max() == pytest.approx(220 / 127.5 - 1, abs=1e-6)


def test_what_cannot_be_trained_on_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="raise model"):
        load(folder, max_tokens=5)
    with pytest.raises(DataError, match="multiple of the grid"):
        load(folder, size=60)
    broken = write_prepared(tmp_path / "broken", studies=4)
    study = next(read_studies(broken, "train"))
    (broken / study.pictures[0].path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="nothing readable"):
        load(broken)
    write_studies(broken, [replace(study, pictures=study.pictures * 2)])
    with pytest.raises(DataError, match="2 pictures"):
        load(broken)
    write_studies(broken, [replace(study, split="test")])
    with pytest.raises(DataError, match="no 'train' studies"):
        load(broken)
