"""The one public object: radiographs in, a report out, the same alone and in a batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from material import chest
from numpy.testing import assert_allclose
from tiny import tiny_model, tiny_tokenizer

from model.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoint_folder import ModelIdentity
from model.config import ReportConfig
from model.decoding import DecodingOptions
from model.errors import ConfigError, DataError, RefusedError
from model.findings import named_findings
from model.generator import ReportGenerator
from model.heatmap import words
from model.imaging.letterbox import Letterbox
from model.imaging.radiograph import Radiograph
from model.report import Report, sections

TOKENIZER = tiny_tokenizer()


def radiograph(seed: int, height: int = 40, width: int = 60) -> Radiograph:
    pixels = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    return Radiograph(pixels, "PA" if seed % 2 else None)


def generator(seed: int = 0, **changes) -> ReportGenerator:
    model = tiny_model(seed, vocab_size=TOKENIZER.get_vocab_size(), **changes)
    return ReportGenerator(model, TOKENIZER, ModelIdentity("tiny", "0" * 64))


def assert_same(one: Report, other: Report) -> None:
    assert (one.text, one.sections, one.views) == (other.text, other.sections, other.views)
    assert (one.placements, one.grid, one.warnings) == (
        other.placements,
        other.grid,
        other.warnings,
    )
    assert one.review == other.review
    for of_one, of_other in (
        (one.words, other.words),
        (one.sentences, other.sentences),
        (one.findings, other.findings),
    ):
        assert len(of_one) == len(of_other)
        for mine, theirs in zip(of_one, of_other, strict=True):
            assert (mine.text, mine.start, mine.end) == (theirs.text, theirs.start, theirs.end)
            assert mine.state == theirs.state
            assert_allclose(mine.probability, theirs.probability, rtol=1e-3)
            assert_allclose(mine.evidence, theirs.evidence, atol=1e-3)
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
    together = write.reports(studies, options, input_check=False)
    assert len({report.text for report in together}) == 3
    assert any(report.words for report in together)
    for study, report in zip(studies, together, strict=True):
        assert_same(report, write(study, options, input_check=False))


def test_a_report_knows_its_images() -> None:
    report = generator(2)([radiograph(1, 50, 70), radiograph(2, 90, 30)], input_check=False)
    assert report.placements == (Letterbox(50, 70, 32), Letterbox(90, 30, 32))
    assert report.views == ("PA", None)
    assert report.model == ModelIdentity("tiny", "0" * 64)
    assert report.words
    for word in report.words:
        assert word.heatmap.shape == (2, 4, 4)
        assert report.text[word.start : word.end] == word.text


def test_one_radiograph_is_a_study_of_one() -> None:
    write = generator(2)
    assert_same(write(radiograph(5), input_check=False), write([radiograph(5)], input_check=False))


def test_the_same_image_twice_gives_the_report_of_once() -> None:
    write = generator(2)
    once, twice = (
        write(radiograph(5), input_check=False),
        write([radiograph(5), radiograph(5)], input_check=False),
    )
    assert once.words and once.text == twice.text
    for single, double in zip(once.words, twice.words, strict=True):
        assert_allclose(double.heatmap[0] + double.heatmap[1], single.heatmap[0], atol=1e-5)


def test_saved_and_loaded_writes_the_same_report(tmp_path) -> None:
    write = generator(2)
    save_checkpoint(tmp_path, write.model, TOKENIZER, {}, "")
    again = ReportGenerator.load(tmp_path)
    assert again.identity == load_checkpoint(tmp_path)[2]
    assert_same(again(radiograph(1), input_check=False), write(radiograph(1), input_check=False))


def test_a_model_in_training_is_put_to_evaluation() -> None:
    model = tiny_model(0, vocab_size=TOKENIZER.get_vocab_size(), dropout=0.5).train()
    write = ReportGenerator(model, TOKENIZER, ModelIdentity("tiny", ""))
    assert_same(write(radiograph(1), input_check=False), write(radiograph(1), input_check=False))


def test_the_checkpoints_own_notice_goes_first() -> None:
    assert generator(notice="Trained on hands.").notice == "Trained on hands."
    assert generator(notice="").notice == ReportConfig.notice


def test_nothing_in_nothing_out_but_an_empty_study_is_an_error() -> None:
    write = generator()
    assert write.reports([]) == []
    with pytest.raises(DataError, match="study 1 has no image"):
        write.reports([[radiograph(1)], []], input_check=False)


BLANK = Radiograph(np.full((40, 60), 0.5, np.float32), "PA")


def test_a_image_that_the_gate_refuses_gets_no_report() -> None:
    write, fine = generator(), chest_image()
    assert write(fine).warnings == ((),)
    with pytest.raises(RefusedError, match=r"^The image is blank"):
        write(BLANK)
    with pytest.raises(RefusedError, match=r"^image 2: The image is blank"):
        write.reports([[fine], [fine, BLANK]])
    with pytest.raises(RefusedError, match="blank"):
        write.ask(BLANK, "effusion")


def test_without_the_gate_its_reasons_stand_beside_the_report() -> None:
    report = generator()([chest_image(), BLANK], input_check=False)
    assert [[warning.code for warning in of] for of in report.warnings] == [[], ["blank"]]
    assert report.warnings[1][0].refuses


def chest_image() -> Radiograph:
    return Radiograph(chest().astype(np.float32) / 255, "PA")


def learnt(tiny_generator: ReportGenerator) -> Report:
    return tiny_generator(chest_image())


def test_sentences_cover_the_text_but_for_its_headings(tiny_generator) -> None:
    report = learnt(tiny_generator)
    assert [sentence.text for sentence in report.sentences] == [
        "The heart is normal in size.",
        "The lungs are clear.",
        "There is no pleural effusion.",
        "No acute cardiopulmonary abnormality.",
    ]
    for sentence in report.sentences:
        assert report.text[sentence.start : sentence.end] == sentence.text
        own = [report.words[place] for place in sentence.words]
        assert [word.text for word in own] == sentence.text.rstrip(".").split()
        assert_allclose(sentence.evidence, sum(word.evidence for word in own))
        assert_allclose(sentence.probability, np.prod([word.probability for word in own]))


def test_any_range_of_characters_is_a_span(tiny_generator) -> None:
    report = learnt(tiny_generator)
    start = report.text.index("heart is")
    span = report.span(start + 2, start + 7)
    assert (span.text, [report.words[place].text for place in span.words]) == (
        "art i",
        ["heart", "is"],
    )
    assert report.span(8, 9).words == ()
    assert report.span(0, len(report.text)).words == tuple(range(len(report.words)))
    for start, end in ((-1, 3), (5, 4), (0, len(report.text) + 1)):
        with pytest.raises(DataError, match="is not inside a text of"):
            report.span(start, end)


def test_findings_are_what_the_reader_reads(tiny_generator) -> None:
    model, tokenizer = tiny_generator.model, tiny_generator.tokenizer
    text = "The heart is enlarged. There is right pleural effusion and effusion in the lungs."
    memory = model.encode(torch.zeros(1, 1, 1, 64, 64))
    [told] = words(model, memory, [tokenizer.encode(text).ids], tokenizer)
    found = named_findings(text, told, (1, *model.grid), model.config)
    assert [(f.name, f.text, sorted(f.sides), f.certainty) for f in found] == [
        ("cardiomegaly", "heart is enlarged", [], "definite"),
        ("pleural_effusion", "pleural effusion", ["right"], "definite"),
        ("pleural_effusion", "effusion", [], "definite"),
    ]
    assert [[told[place].text for place in f.words] for f in found] == [
        ["heart", "enlarged"],
        ["pleural", "effusion"],
        ["effusion"],
    ]
    assert text[slice(*found[0].clause)] == "The heart is enlarged."
    # No chance before one was fitted: the wording's probability is none.
    assert {finding.presence_probability for finding in found} == {None}
    fitted = replace(model.config, finding_scale=0.01, finding_offset=0.5)
    chances = [f.presence_probability for f in named_findings(text, told, (1, *model.grid), fitted)]
    assert all(0 < chance < 1 for chance in chances) and chances[1] == chances[2]


def test_a_text_that_was_cut_is_flagged_and_one_that_ended_is_not(tiny_generator) -> None:
    whole = learnt(tiny_generator)
    assert whole.review == ()
    cut = tiny_generator(chest_image(), DecodingOptions(max_tokens=8))
    assert [flag.code for flag in cut.review] == ["cut"]


def test_a_region_is_of_a_image_and_has_an_area(tiny_generator) -> None:
    report = learnt(tiny_generator)
    with pytest.raises(DataError, match="no image 1: the report has 1"):
        report.words_in_region(1, (0, 0, 5, 5))
    with pytest.raises(DataError, match=r"the box \(5, 0, 5, 5\) has no area"):
        report.words_in_region(0, (5, 0, 5, 5))


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
