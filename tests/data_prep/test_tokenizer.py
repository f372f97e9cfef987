"""Laws of the tokenizer: it gives every text back, and its offsets lie on the words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_prep.tokenizer import BOS, EOS, PAD, train_tokenizer

TEXTS = [
    "Findings: The heart is normal in size. Impression: No acute cardiopulmonary abnormality.",
    "Findings: There is a small left pleural effusion. Impression: Small left pleural effusion.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 5, vocab_size=400)


def test_special_tokens_have_their_numbers(tokenizer: Tokenizer) -> None:
    assert [tokenizer.id_to_token(i) for i in (PAD, BOS, EOS)] == ["<pad>", "<bos>", "<eos>"]


@given(st.text().filter(lambda text: "<" not in text))
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_are_neither_added_nor_decoded(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXTS[0]).ids
    assert not {PAD, BOS, EOS} & set(ids)
    assert tokenizer.decode([BOS, *ids, EOS, PAD]) == TEXTS[0]


def test_offsets_cover_each_word_without_its_space(tokenizer: Tokenizer) -> None:
    text = TEXTS[1]
    covered = "".join(text[start:end] for start, end in tokenizer.encode(text).offsets)
    assert covered == text.replace(" ", "")


def test_frequent_words_become_one_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("There is a small left pleural effusion.").tokens[-2:] == [
        "Ġeffusion",
        ".",
    ]


def test_vocabulary_stays_within_its_size_and_survives_its_file(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() <= 400
    again = Tokenizer.from_str(tokenizer.to_str())
    assert again.encode(TEXTS[0]).ids == tokenizer.encode(TEXTS[0]).ids
