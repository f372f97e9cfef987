"""What lies under a gray rectangle: out of the image and the maps, improbable in words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_folder import PLACES, SIZE, write_prepared
from tiny import tiny_config
from tokenizers import Tokenizer

from data_prep.manifest import Finding, Image, Phrase, Study
from model.errors import ConfigError
from model.imaging.letterbox import Letterbox
from training.config import DropConfig, load_config
from training.dataset.batches import Batch, Batches, Variation
from training.dataset.occlusion import occlude
from training.dataset.samples import StudyEncoder
from training.dataset.split import Split, load_split
from training.losses import token_loss, unlikelihood_loss

OCCLUDE = DropConfig(frontal=0, lateral=0, prior=0, indication=0, finding=1)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = write_prepared(tmp_path_factory.mktemp("blobs"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = tiny_config(image_size=SIZE, max_tokens=40)
    return load_split(folder, "train", StudyEncoder(tokenizer, config, (8, 8)))


def both(split: Split, rows: list[int]) -> tuple[Batch, Batch]:
    """The same studies whole and with their findings covered."""
    whole, occluded = (
        Batches(split, len(rows), 0, Variation(drop=drop)) for drop in (DropConfig(), OCCLUDE)
    )
    return whole.make(rows, 0), occluded.make(rows, 0)


def test_a_occluded_finding_is_nowhere_but_in_the_report(split: Split) -> None:
    rows = [row for row, study in enumerate(split.studies) if study.findings][:6]
    whole, batch = both(split, rows)
    assert torch.equal(whole.tokens, batch.tokens) and torch.equal(whole.mentions, batch.mentions)
    assert batch.occluded.all() and not whole.occluded.any()
    assert (whole.images > 200).any() and not (batch.images > 200).any()
    assert not batch.coverage.any() and not batch.present.any()
    assert whole.coverage.any() and whole.present.any()


def test_the_rectangle_hides_the_finding_and_little_more(split: Split) -> None:
    row = next(row for row, study in enumerate(split.studies) if study.findings)
    whole, batch = both(split, [row])
    changed = (whole.images != batch.images)[0, 0, 0]
    side = split.studies[row].findings[0].side
    assert side is not None
    x0, y0, x1, y1 = PLACES[side]
    assert changed[y0:y1, x0:x1].all()
    rows, columns = np.nonzero(changed.numpy())
    reach = 1 + 0.05 * SIZE
    assert rows.min() >= y0 - reach and rows.max() < y1 + reach
    assert columns.min() >= x0 - reach and columns.max() < x1 + reach


def test_only_the_words_of_what_is_occluded_are_not_to_be_said(split: Split) -> None:
    row = next(row for row, study in enumerate(split.studies) if study.findings)
    whole, batch = both(split, [row])
    occluded, skipped = batch.not_to_learn()
    labels = batch.tokens[0, 1:]
    study, tokenizer = split.studies[row], split.encoder.tokenizer
    phrase = study.phrases[0]
    said = tokenizer.decode(labels[occluded[0]].tolist()).strip()
    assert said == study.report[phrase.start : phrase.end]
    assert tokenizer.decode(labels[skipped[0]].tolist()).strip() == f"There is a {said}"
    assert not any(each.any() for each in whole.not_to_learn())


def test_a_normal_study_has_nothing_to_hide(split: Split) -> None:
    row = next(row for row, study in enumerate(split.studies) if not study.findings)
    whole, batch = both(split, [row])
    assert torch.equal(whole.images, batch.images) and not batch.occluded.any()


def two_findings(gap: int) -> tuple[Study, list[np.ndarray], list[np.ndarray]]:
    """A nodule to speak of and an opacity beside it, `gap` pixels further right, unspoken of."""
    boxes = (20, 20, 30, 30), (30 + gap, 20, 40 + gap, 30)
    findings = tuple(
        Finding(name, None, "right", "mid", box)
        for name, box in zip(("nodule", "opacity"), boxes, strict=True)
    )
    area = np.zeros((100, 100), np.uint16)
    for bit, (x0, y0, x1, y1) in enumerate(boxes):
        area[y0:y1, x0:x1] |= 1 << bit
    image = Image("p.png", 100, 100, "PA")
    study = Study("s", "train", (image,), "A nodule.", findings, (Phrase(2, 8, (0,)),))
    return study, [np.full((100, 100), 9, np.uint8)], [area]


@pytest.mark.parametrize(("gap", "occluded"), [(-10, {0, 1}), (20, {0})])
def test_what_lies_under_the_same_rectangle_is_occluded_too(gap: int, occluded: set[int]) -> None:
    study, images, areas = two_findings(gap)

    def placed(image: Image) -> Letterbox:
        return Letterbox(image.height, image.width, 100)

    assert occlude(study, images, areas, placed, np.random.default_rng(0)) == occluded
    assert areas[0].any() == (occluded == {0})


def test_the_loss_is_of_whole_phrases() -> None:
    logits = torch.zeros(2, 5, 4)
    labels = torch.zeros(2, 5, dtype=torch.long)
    logits[:, :, 0] = 20.0  # every word is certain
    occluded = torch.zeros(2, 5, dtype=torch.bool)
    assert unlikelihood_loss(logits, labels, occluded) == 0
    occluded[0, 3:] = occluded[1, 0] = True  # the end of one text and the beginning of the next
    certain = unlikelihood_loss(logits, labels, occluded)
    logits[0, 4, 0] = -20.0  # one word that will not be said is enough for its phrase
    half = unlikelihood_loss(logits, labels, occluded)
    assert torch.isclose(half, certain / 2, rtol=1e-3)
    logits[1, 0, 0] = -20.0
    assert unlikelihood_loss(logits, labels, occluded) < 1e-3 < half


def test_the_loss_pulls_against_saying_what_is_occluded() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 6, requires_grad=True)
    labels = torch.tensor([[1, 2, 3, 4]])
    occluded = torch.tensor([[False, True, True, False]])
    unlikelihood_loss(logits, labels, occluded).backward()
    assert logits.grad is not None
    pulled = logits.grad.gather(2, labels[..., None])[..., 0]
    assert (pulled[occluded] > 0).all() and (pulled[~occluded] == 0).all()
    told = labels.masked_fill(occluded, 0)
    assert token_loss(logits, told, 0, 0.0) > 0


def test_what_is_repeated_is_seen_so_many_times_an_epoch(split: Split) -> None:
    times = [3 if study.findings else 1 for study in split.studies]
    batches = Batches(split, 1, 0, Variation(repeat={"opacity": 3}))
    seen = [batches._rows(step)[0] for step in range(sum(times))]
    assert [seen.count(row) for row in range(len(split))] == times
    once = Batches(split, 1, 0)
    plain = Batches(split, 1, 0, Variation(repeat={"nodule": 9}))  # which nobody has
    assert all(once._rows(step) == plain._rows(step) for step in range(50))


@pytest.mark.parametrize(
    ("line", "message"),
    [("repeat = { noodle = 2 }", "noodle"), ("repeat = { nodule = 0 }", "nodule. = 0")],
)
def test_repeats_that_cannot_be_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f'data = "d"\noutput = "o"\n{line}\n')
    with pytest.raises(ConfigError, match=message):
        load_config(path)
