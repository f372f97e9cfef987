"""The one public object: radiographs in, a report out, the same alone and in a batch."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import tiny_model, tiny_tokenizer

from model.checkpoint import ModelIdentity, load_checkpoint, save_checkpoint
from model.decoding import DecodingOptions
from model.errors import ConfigError, DataError
from model.geometry import Letterbox
from model.image import Radiograph
from model.report import NOTICE, Report, ReportGenerator, sections

TOKENIZER = tiny_tokenizer()


def radiograph(seed: int, height: int = 40, width: int = 60) -> Radiograph:
    pixels = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    return Radiograph(pixels, "PA" if seed % 2 else None)


def generator(seed: int = 0, **changes) -> ReportGenerator:
    model = tiny_model(seed, vocab_size=TOKENIZER.get_vocab_size(), **changes)
    return ReportGenerator(model, TOKENIZER, ModelIdentity("tiny", "0" * 64))


def assert_same(one: Report, other: Report) -> None:
    assert (one.text, one.sections, one.views) == (other.text, other.sections, other.views)
    assert one.placements == other.placements
    assert len(one.words) == len(other.words)
    for mine, theirs in zip(one.words, other.words, strict=True):
        assert (mine.text, mine.start, mine.end) == (theirs.text, theirs.start, theirs.end)
        assert_allclose(mine.probability, theirs.probability, rtol=1e-3)
        assert_allclose(mine.heatmap, theirs.heatmap, atol=1e-5)


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_a_batch_is_its_studies_one_by_one(strategy) -> None:
    write = generator(2)
    studies = [
        [radiograph(1)],
        [radiograph(2, 90, 30), radiograph(3, 32, 32)],
        [radiograph(4, 10, 500)],
    ]
    options = DecodingOptions(strategy)
    together = write.reports(studies, options)
    assert len({report.text for report in together}) == 3
    assert any(report.words for report in together)
    for study, report in zip(studies, together, strict=True):
        assert_same(report, write(study, options))


def test_a_report_knows_its_pictures() -> None:
    report = generator(2)([radiograph(1, 50, 70), radiograph(2, 90, 30)])
    assert report.placements == (Letterbox(50, 70, 32), Letterbox(90, 30, 32))
    assert report.views == ("PA", None)
    assert report.model == ModelIdentity("tiny", "0" * 64)
    assert report.words
    for word in report.words:
        assert word.heatmap.shape == (2, 4, 4)
        assert report.text[word.start : word.end] == word.text


def test_one_radiograph_is_a_study_of_one() -> None:
    write = generator(2)
    assert_same(write(radiograph(5)), write([radiograph(5)]))


def test_the_same_picture_twice_gives_the_report_of_once() -> None:
    write = generator(2)
    once, twice = write(radiograph(5)), write([radiograph(5), radiograph(5)])
    assert once.words and once.text == twice.text
    for single, double in zip(once.words, twice.words, strict=True):
        assert_allclose(double.heatmap[0] + double.heatmap[1], single.heatmap[0], atol=1e-5)


def test_saved_and_loaded_writes_the_same_report(tmp_path) -> None:
    write = generator(2)
    save_checkpoint(tmp_path, write.model, TOKENIZER, {}, "")
    again = ReportGenerator.load(tmp_path)
    assert again.identity == load_checkpoint(tmp_path)[2]
    assert_same(again(radiograph(1)), write(radiograph(1)))


def test_a_model_in_training_is_put_to_evaluation() -> None:
    model = tiny_model(0, vocab_size=TOKENIZER.get_vocab_size(), dropout=0.5).train()
    write = ReportGenerator(model, TOKENIZER, ModelIdentity("tiny", ""))
    assert_same(write(radiograph(1)), write(radiograph(1)))


def test_the_checkpoints_own_notice_goes_first() -> None:
    assert generator(notice="Trained on hands.").notice == "Trained on hands."
    assert generator().notice == NOTICE


def test_nothing_in_nothing_out_but_an_empty_study_is_an_error() -> None:
    write = generator()
    assert write.reports([]) == []
    with pytest.raises(DataError, match="study 1 has no picture"):
        write.reports([[radiograph(1)], []])


@pytest.mark.parametrize("device", ["abacus", "meta:x"])
def test_a_device_that_is_not_there_is_named(tmp_path, device) -> None:
    write = generator()
    save_checkpoint(tmp_path, write.model, TOKENIZER, {}, "")
    with pytest.raises(ConfigError, match=f"device {device!r} cannot be used"):
        ReportGenerator.load(tmp_path, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_named(tmp_path) -> None:
    write = generator()
    save_checkpoint(tmp_path, write.model, TOKENIZER, {}, "")
    with pytest.raises(ConfigError, match="device 'cuda' cannot be used"):
        ReportGenerator.load(tmp_path, "cuda")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Clear lungs.", [("findings", "Clear lungs.")]),
        (
            "Findings: Clear lungs. Impression: Normal.",
            [("findings", "Clear lungs."), ("impression", "Normal.")],
        ),
        (
            "FINDINGS:\nClear.\n\nIMPRESSION :  Normal. ",
            [("findings", "Clear."), ("impression", "Normal.")],
        ),
        ("Portable. Impression: Normal.", [("findings", "Portable."), ("impression", "Normal.")]),
        ("Findings: Impression: Normal.", [("impression", "Normal.")]),
        ("Impression: One. Findings: Two.", [("impression", "One."), ("findings", "Two.")]),
        ("Findings are normal.", [("findings", "Findings are normal.")]),
        ("Unfindings: x", [("findings", "Unfindings: x")]),
    ],
)
def test_sections_are_what_stands_under_the_headings(text, expected) -> None:
    found = sections(text)
    assert [(section.name, section.text) for section in found] == expected
    assert all(text[section.start : section.end] == section.text for section in found)
