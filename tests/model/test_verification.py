"""What the model's own answer denies is not asserted; everything else stays as it was written."""

import numpy as np
import pytest
import torch
from tiny import tiny_images, tiny_model, tiny_tokenizer

from model import verification
from model.report_text.parser import read_findings, sentences
from model.verification import NOTHING_ASSERTED, verified

TOKENIZER = tiny_tokenizer()
TEXT = (
    "Findings: There is a small effusion. The heart is enlarged with an opacity. No pneumothorax. "
    "Impression: Effusion."
)


@torch.no_grad()
def written(odds: dict[str, float], text: str = TEXT, **changes) -> str:
    """The text, verified by a model whose answers are these."""
    shape = {"vocab_size": TOKENIZER.get_vocab_size(), "max_tokens": 200, "answers": True}
    net = tiny_model(4, **{**shape, **changes})
    tokens = [*TOKENIZER.encode(text).ids, net.config.eos_token_id]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "named_log_odds", lambda *_: [odds])
        [kept], _ = verified(net, net.encode(tiny_images(3, 1)), TOKENIZER, [tokens])
    assert kept[-1] == net.config.eos_token_id
    return TOKENIZER.decode(kept)


def test_what_is_answered_with_present_stays() -> None:
    odds = {"pleural_effusion": 0.1, "cardiomegaly": 3.0, "opacity": 9.0}
    assert written(odds) == TEXT


def test_a_sentence_goes_where_all_that_it_asserts_is_denied() -> None:
    odds = {"pleural_effusion": -0.1, "cardiomegaly": 3.0, "opacity": -9.0}
    rest = "Findings: The heart is enlarged with an opacity. No pneumothorax."
    assert written(odds) == rest


def test_of_a_report_of_which_nothing_is_left() -> None:
    odds = {"pleural_effusion": -2.0}
    assert written(odds, "Findings: Pleural effusion.") == NOTHING_ASSERTED
    assert not read_findings(NOTHING_ASSERTED) and len(sentences(NOTHING_ASSERTED)) == 1


def test_the_border_is_a_calibrated_probability_of_a_half() -> None:
    odds = {"pleural_effusion": 0.9, "cardiomegaly": 2.1, "opacity": 2.1}
    assert written(odds) == TEXT
    assert "effusion" not in written(odds, ask_scale=0.5, ask_offset=-1.0)


def test_a_finding_has_its_own_line_and_limit() -> None:
    odds = {"pleural_effusion": -1.0, "cardiomegaly": 3.0, "opacity": 3.0}
    of_effusions = {"answer_scales": {"pleural_effusion": [1.0, 2.0]}}
    assert written(odds, **of_effusions) == TEXT
    assert "effusion" not in written(odds, assert_from={"pleural_effusion": 0.8}, **of_effusions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Findings: Opacity.", "Findings: Opacity. Pleural effusion."),
        ("Findings: The lungs are clear. No effusion.", "Findings: Pleural effusion."),
        ("Findings: Opacity. No effusion.", "Findings: Opacity. Pleural effusion."),
        (
            "Findings: Opacity. Impression: Opacity.",
            "Findings: Opacity. Pleural effusion. Impression: Opacity.",
        ),
        ("Findings: Small effusion.", "Findings: Small effusion."),
    ],
)
def test_what_is_probable_is_named(text: str, expected: str) -> None:
    odds = {"pleural_effusion": -1.0, "opacity": 3.0}
    limits = {"pleural_effusion": 0.2}
    assert written(odds, text, assert_from=limits) == expected
    odds["pleural_effusion"] = -9.0
    silent = written(odds, text, assert_from=limits)
    assert not any(finding.name == "pleural_effusion" for finding in read_findings(silent))


@torch.no_grad()
def test_a_model_that_does_not_answer_is_left_alone() -> None:
    net = tiny_model(4, vocab_size=TOKENIZER.get_vocab_size())
    memory = net.encode(tiny_images(3, 2))
    texts = [[5, 6, 2], [7, 2]]
    assert verified(net, memory, TOKENIZER, texts) == (texts, [{}, {}])


@torch.no_grad()
def test_verified_alone_as_in_a_batch() -> None:
    net = tiny_model(4, vocab_size=TOKENIZER.get_vocab_size(), max_tokens=200, answers=True)
    memory = net.encode(tiny_images(3, 3))
    texts = [[*TOKENIZER.encode(TEXT).ids, 2], [*TOKENIZER.encode("Lungs are clear.").ids, 2]]
    texts.append([*TOKENIZER.encode("Nodule. Edema. Effusion.").ids, 2])
    kept, odds = verified(net, memory, TOKENIZER, texts)
    assert kept[1] == texts[1] and odds[1] == {}
    for row, text in enumerate(texts):
        part = memory.studies(slice(row, row + 1))
        [alone], [own] = verified(net, part, TOKENIZER, [text])
        assert alone == kept[row] and own.keys() == odds[row].keys()
        np.testing.assert_allclose(list(own.values()), list(odds[row].values()), atol=1e-4)
