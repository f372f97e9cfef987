"""What reaches the model: the prepared folder, moved but never mirrored, in a fixed order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from prepared_folder import PLACES, SIZE, write_prepared
from tiny import tiny_config, tiny_model
from tokenizers import Tokenizer

from data_prep.manifest import FINDINGS, Finding, Phrase, Study, read_studies, write_studies
from model.errors import DataError
from training.config import AugmentConfig, DropConfig
from training.dataset.augmentation import Augmentation
from training.dataset.batches import Batches, Variation, stream
from training.dataset.samples import StudyEncoder
from training.dataset.split import Split, load_split
from training.partial_study import with_images

GRID = (8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    return load(folder)


def load(folder: Path, **changes: Any) -> Split:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    limit = changes.pop("limit", 0)
    config = tiny_config(**{"image_size": SIZE, "max_tokens": 40, **changes})
    return load_split(folder, "train", StudyEncoder(tokenizer, config, GRID), limit)


def equal(one, other) -> bool:
    return all(torch.equal(value, vars(other)[name]) for name, value in vars(one).items())


def test_tokens_of_a_phrase_speak_of_its_finding_and_no_others_do(
    folder: Path, split: Split
) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    studies = list(read_studies(folder, "train"))
    row = next(i for i, study in enumerate(studies) if study.phrases)
    batch = Batches(split, 1, 0).make([row], 0)
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
    batch = Batches(load(folder), 1, 0).make([0], 0)
    labels = batch.tokens[0, 1:]
    led = [tokenizer.decode(labels[batch.leads[0, :, j] > 0].tolist()).strip() for j in (0, 1)]
    assert led == ["There is a", "and a"]
    assert not (batch.leads * batch.mentions).any()


def test_coverage_is_the_share_of_each_patch_inside_the_finding(folder: Path, split: Split) -> None:
    studies = list(read_studies(folder, "train"))
    row = next(i for i, s in enumerate(studies) if s.findings and s.findings[0].side == "left")
    batch = Batches(split, 1, 0).make([row], 0)
    x0, y0, x1, y1 = PLACES["left"]
    plane = np.zeros((SIZE, SIZE), np.float32)
    plane[y0:y1, x0:x1] = 1
    expected = plane.reshape(8, 8, 8, 8).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(batch.coverage[0, 0].numpy(), expected, atol=1e-6)
    assert batch.kinds[0].tolist() == [FINDINGS.index("opacity")]
    assert batch.present[0].sum() == 1


def test_a_normal_study_covers_and_mentions_nothing(folder: Path, split: Split) -> None:
    studies = list(read_studies(folder, "train"))
    row = next(i for i, study in enumerate(studies) if not study.findings)
    batch = Batches(split, 1, 0).make([row], 0)
    assert batch.coverage.sum() == batch.mentions.sum() == batch.present.sum() == 0
    assert batch.kinds.tolist() == [[-1]]


def test_findings_that_share_a_mask_bit_are_told_apart_by_their_boxes(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "two", studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    bits = np.zeros((SIZE, SIZE), np.uint16)
    for x0, y0, x1, y1 in PLACES.values():
        bits[y0:y1, x0:x1] = 1 << FINDINGS.index("opacity")
    mask = study.images[0].mask
    assert mask is not None
    cv2.imwrite(str(folder / mask), bits)
    both = tuple(Finding("opacity", "mild", side, None, PLACES[side]) for side in PLACES)
    phrases = (Phrase(0, 8, (0,)), Phrase(10, 15, (0, 1)))
    write_studies(folder, [replace(study, findings=both, phrases=phrases)])
    batch = Batches(load(folder), 1, 0)[0, 0]
    right, left = batch.coverage[0].reshape(2, *GRID)
    assert right[:, :4].sum() == right.sum() > 0
    assert left[:, 4:].sum() == left.sum() > 0
    assert batch.mentions[0].sum(dim=0)[0] > batch.mentions[0].sum(dim=0)[1] > 0


def test_without_a_mask_the_box_counts(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "boxes", studies=4)
    with_mask = load(folder)
    boxes = [
        replace(s, images=(replace(s.images[0], mask=None),)) for s in read_studies(folder, "train")
    ]
    write_studies(folder, boxes)
    np.testing.assert_array_equal(load(folder).images.areas, with_mask.images.areas)


def test_a_image_of_another_aspect_keeps_its_finding_in_place(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "wide", studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    wide = np.zeros((40, 80), np.uint8)
    wide[10:20, 60:70] = 255
    cv2.imwrite(str(folder / study.images[0].path), wide)
    image = replace(study.images[0], width=80, height=40, mask=None)
    finding = replace(study.findings[0], box=(60, 10, 70, 20))
    write_studies(folder, [replace(study, images=(image,), findings=(finding,))])
    split = load(folder)
    image, area = split.images.read(0, 0)
    bright, covered = image > 127, area > 0
    assert (bright & covered).sum() / (bright | covered).sum() > 0.7


def test_augmentation_moves_the_image_and_its_areas_together() -> None:
    areas = np.zeros((96, 96), np.uint16)
    areas[20:50, 60:80] = 1 << 3
    image = (areas > 0).astype(np.uint8) * 200
    augment = Augmentation(AugmentConfig(brightness=0, contrast=0, gamma=0, noise=0, blur=0))
    moved = 0
    for seed in range(40):
        augment.seed(seed)
        seen, bits = augment(image, areas)
        assert set(np.unique(bits)) <= {0, 1 << 3}
        bright, covered = seen > 100, bits > 0
        assert (bright & covered).sum() / (bright | covered).sum() > 0.9
        moved += not np.array_equal(covered, areas > 0)
    assert moved > 20


def test_nothing_is_ever_mirrored() -> None:
    """A marker at the patient's right and another below stay there, whatever is drawn."""
    image = np.full((96, 96), 40, np.uint8)
    image[20:32, 8:20] = 255
    image[70:90, 40:60] = 255
    areas = np.zeros_like(image, np.uint16)
    augment = Augmentation(AugmentConfig())
    for seed in range(200):
        augment.seed(seed)
        seen, _ = augment(image, areas)
        assert seen[10:45, :35].max() > seen[10:45, 61:].astype(int).max() + 50
        assert seen[60:, 30:70].max() > seen[:36, 40:60].astype(int).max() + 50


def test_a_step_has_the_same_batch_however_it_is_reached(split: Split) -> None:
    batches = Batches(split, 6, 5, Variation(AugmentConfig()))
    whole = list(stream(batches, [(step, 0) for step in range(5)], workers=0))
    late = list(
        stream(Batches(split, 6, 5, Variation(AugmentConfig())), [(3, 0), (4, 0)], workers=1)
    )
    assert all(equal(one, other) for one, other in zip(whole[3:], late, strict=True))
    assert not equal(whole[0], Batches(split, 6, 6, Variation(AugmentConfig()))[0, 0])


def test_every_study_is_seen_once_an_epoch(split: Split) -> None:
    batches = Batches(split, 8, 1)
    epochs = len(split) // 8
    seen = torch.cat([batches[step, 0].images for step in range(epochs)]).flatten(1).numpy()
    there = split.images.images.reshape(len(split), -1)
    assert sorted(map(bytes, seen)) == sorted(map(bytes, there))


def test_studies_with_as_many_images_come_together(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "mixed", studies=64)
    studies = [
        replace(s, images=s.images * (1 + row % 2)) if s.split == "train" else s
        for row, s in enumerate(read_studies(folder))
    ]
    write_studies(folder, studies)
    batches = Batches(load(folder), 4, 3)
    drawn = [batches._rows(step) for step in range(16)]
    assert sorted(row for rows in drawn for row in rows) == list(range(64))
    mixed = [len({len(batches.split.studies[row].images) for row in rows}) > 1 for rows in drawn]
    assert sum(mixed) <= 2, "one border in each window"
    assert drawn != [sorted(rows) for rows in drawn]


def test_images_lie_in_the_square_of_the_model(split: Split) -> None:
    images = Batches(split, 2, 0)[0, 0].images
    assert images.shape == (2, 1, 1, SIZE, SIZE) and images.dtype == torch.uint8
    assert images.max() == 220


def test_what_cannot_be_trained_on_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="raise model"):
        load(folder, max_tokens=5)
    with pytest.raises(DataError, match="multiple of the grid"):
        load(folder, image_size=60)
    broken = write_prepared(tmp_path / "broken", studies=4)
    study = next(read_studies(broken, "train"))
    (broken / study.images[0].path).write_bytes(b"no image")
    with pytest.raises(DataError, match="nothing readable"):
        load(broken)
    lateral = replace(study.images[0], view="LATERAL")
    write_studies(broken, [replace(study, images=(lateral,)), replace(study, split="test")])
    with pytest.raises(DataError, match="no 'train' studies with frontal images"):
        load(broken)


VIEWS = ["frontal", "lateral", "prior"]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study: an opacity that both views show, one that the lateral shows, and a prior."""
    folder = write_prepared(tmp_path_factory.mktemp("views"), studies=4)
    study = next(s for s in read_studies(folder, "train") if s.findings)
    frontal = replace(study.images[0], mask=None)
    images = (frontal, replace(frontal, view="LATERAL"), replace(frontal, prior=True))
    findings = tuple(
        Finding("opacity", "mild", side, None, PLACES["left"], image)
        for side, image in (("left", 0), ("left", 1), (None, 1))
    )
    said = ["a left opacity", "A low opacity", "left opacity is new", "left opacity"]
    text = (
        f"Findings: There is {said[0]}. {said[1]}. The {said[2]} since the prior study. The heart "
        f"is normal. Impression: {said[3]}."
    )
    about = ((0, 1), (2,), (0, 1), (0, 1))
    begins = [text.index(said[0]), text.index(said[1]), text.index(said[2]), text.rindex(said[3])]
    phrases = [
        Phrase(start, start + len(words), findings)
        for start, words, findings in zip(begins, said, about, strict=True)
    ]
    seen = replace(study, images=images, findings=findings, phrases=tuple(phrases))
    write_studies(folder, [replace(seen, report=text, indication="Chills.")])
    return folder


def told(folder: Path, kept: tuple[bool, ...]) -> Study:
    study = with_images(next(read_studies(folder, "train")), kept)
    for phrase in study.phrases:
        assert "opacity" in study.report[phrase.start : phrase.end]
        assert phrase.findings
    return study


def test_what_only_a_missing_image_shows_is_not_told(views: Path) -> None:
    whole = next(read_studies(views, "train"))
    assert told(views, (True, True, True)) == whole
    frontal = told(views, (True, False, False))
    assert frontal.report == (
        "Findings: There is a left opacity. The heart is normal. Impression: left opacity."
    )
    assert [finding.image for finding in frontal.findings] == [0]
    assert [phrase.findings for phrase in frontal.phrases] == [(0,), (0,)]
    lateral = told(views, (False, True, False))
    assert "A low opacity." in lateral.report and "prior" not in lateral.report
    assert [finding.image for finding in lateral.findings] == [0, 0]
    compared = told(views, (True, False, True))
    assert "since the prior study" in compared.report and "low" not in compared.report


def test_a_comparison_that_alone_asserts_a_finding_stays(views: Path) -> None:
    study = next(read_studies(views, "train"))
    alone = replace(study, report="Findings: Left opacity has increased since the prior study.")
    cut = with_images(replace(alone, phrases=(), findings=()), (True, False, False))
    assert cut.report == alone.report
    for text, left in (
        (
            "Findings: No change since the prior study. Clear. Impression: Stable.",
            "Findings: Clear.",
        ),
        (
            "Findings: No change since the prior study.",
            "Findings: No change since the prior study.",
        ),
    ):
        cut = with_images(
            replace(alone, report=text, phrases=(), findings=()), (True, False, False)
        )
        assert cut.report == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "Findings: Cardiomegaly is unchanged. No effusion. Impression: Stable cardiomegaly.",
            "Findings: No effusion. Impression: Stable cardiomegaly.",
        ),
        (
            "Findings: Stable right upper lobe nodule. New left lower lobe nodule since the prior.",
            "Findings: Stable right upper lobe nodule. New left lower lobe nodule since the prior.",
        ),
        (
            "Findings: Small right pleural effusion. The left pleural effusion has increased.",
            "Findings: Small right pleural effusion. The left pleural effusion has increased.",
        ),
        (
            "Findings: The lungs are unchanged. Impression: No acute disease.",
            "Impression: No acute disease.",
        ),
    ],
)
def test_no_finding_is_lost_with_a_comparison(views: Path, text: str, left: str) -> None:
    study = replace(next(read_studies(views, "train")), report=text, findings=(), phrases=())
    assert with_images(study, (True, False, False)).report == left


def test_a_phrase_moves_with_an_empty_heading(views: Path) -> None:
    text = "Findings: The lungs are unchanged. Impression: Left opacity."
    start = text.index("Left")
    phrase = Phrase(start, start + 12, (0,))
    study = replace(next(read_studies(views, "train")), report=text, phrases=(phrase,))
    cut = with_images(study, (True, False, False))
    [moved] = cut.phrases
    assert cut.report[moved.start : moved.end] == "Left opacity"


def test_views_of_a_study_lie_behind_one_another(views: Path) -> None:
    split = load(views, views=VIEWS, max_tokens=120, prompt_tokens=20)
    batch = Batches(split, 1, 0)[0, 0]
    assert batch.views.tolist() == [[0, 1, 2]] and batch.image_mask.all()
    assert split.encoder.tokenizer.decode(batch.prompt[0].tolist()) == "Chills."
    covered = batch.coverage[0].unflatten(-1, (3, 64)).sum(-1) > 0
    assert covered.tolist() == [[True, False, False], [False, True, False], [False, True, False]]
    one = load(views, max_tokens=120)
    assert len(one.images.images) == 1
    assert Batches(one, 1, 0)[0, 0].prompt.shape == (1, 0)


def test_parts_are_left_out_by_their_chance_and_a_image_stays(views: Path) -> None:
    split = load(views, views=VIEWS, max_tokens=120, prompt_tokens=20)
    drop = DropConfig(frontal=0.5, lateral=0.5, prior=0.5, indication=0.5)
    batches = Batches(split, 1, 3, Variation(drop=drop))
    drawn = [batches[step, 0] for step in range(200)]
    seen = {tuple(batch.views[0].tolist()) for batch in drawn}
    assert seen == {(0,), (1,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    assert 60 < sum(batch.prompt.shape[1] > 0 for batch in drawn) < 140
    for batch in drawn:
        text = split.encoder.tokenizer.decode(batch.tokens[0].tolist())
        assert ("since the prior" in text) == (2 in batch.views)
        assert ("A low" in text) == (1 in batch.views)
    everything = DropConfig(frontal=1, lateral=1, prior=1, indication=1)
    alone = Batches(split, 1, 3, Variation(drop=everything))[0, 0]
    assert alone.views.tolist() == [[0]]


def test_a_batch_of_different_studies_pads_images_and_indications(views: Path) -> None:
    split = load(views, views=VIEWS, max_tokens=120, prompt_tokens=20)
    drop = DropConfig(frontal=0, lateral=0.5, prior=0.5, indication=0.5)
    batches = Batches(split, 8, 3, Variation(drop=drop))
    batch = batches[0, 0]
    assert not batch.image_mask.all() and batch.image_mask[:, 0].all()
    covered = batch.coverage.unflatten(-1, (-1, 64)).sum(-1)
    assert covered.sum() > 0 and not (covered * ~batch.image_mask[:, None]).any()
    empty = (batch.prompt == split.pad).all(1)
    assert empty.any() and not empty.all()
    model = tiny_model(0, views=VIEWS, prompt_tokens=20, image_size=SIZE, vocab_size=400)
    memory = batch.read_by(model)
    assert memory.patch_mask[:, 1:].unflatten(1, (-1, 64)).all(-1).equal(batch.image_mask)
