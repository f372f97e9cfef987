"""What a phrase that a report need not hold is worth on the images of a study.

Of many reports sampled from the model, how many assert it? That share estimates the model's
probability of asserting it, whatever the words around it and wherever it comes in the report. The
same is estimated without the images: the evidence is by how much they raise it.
Any phrase can be asked that the vocabulary of findings or the training reports hold. Of any other
word the model cannot know anything, and a small probability would look as if it did.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

import numpy as np

from model.errors import DataError, UnknownFinding
from model.findings import inside
from model.heatmap import State, Word, span_of, words
from model.interface import Engine, M, NetworkConfig, Tokenizer
from model.questions import ANSWERS, answer_log_odds, finding_probability, phrase_of
from model.report_text.parser import Assertion, read_denials, read_findings, sentences
from model.report_text.question_forms import asked_phrase, without_negation
from model.report_text.vocabulary import TERMS
from model.sampled_reports import SAMPLES, Drafts, sampled

__all__ = [
    "Asked",
    "ask",
    "asserting_sentence",
    "log_odds",
    "report_words",
    "stripped",
]

WORD_REPORTS = 3
"""A word of so many training reports can be asked for."""
READ_BACK = 4
"""Of the sampled reports that assert it, so many are read back for the map."""
CARRIER = "Findings: There is {phrase}."
"""What is read back where no sampled report asserts it."""
_SMALL = frozenset(("a", "an", "the", "is", "are", "there", "of", "in", "at", "on", "with", "and",
                    "or", "any", "to", "this"))  # fmt: skip
_PLACES = frozenset(("left", "right", "bilateral", "both", "upper", "lower", "mid", "middle",
                     "side", "sided", "lung", "lungs", "zone", "lobe", "base"))  # fmt: skip
"""Words of side and zone, which every model's findings have."""
_NEGATION = re.compile(r"\b(?:no|not|without|never|nor|free of|negative for)\b", re.IGNORECASE)
_WORDS = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Asked:
    """What one phrase is worth on one study."""

    phrase: str
    """Without the form of the question: "fracture" of "is there a fracture?"."""
    text: str
    """A sentence that asserts it: of a sampled report, or where none does, one made for it."""
    matches: int | None
    """How many of the sampled reports assert it; None where the model answers questions."""
    samples: int | None
    """How many were sampled; None as above."""
    probability: float | None
    """In (0, 1): that it is there, sigmoid(ask_scale * log-odds + ask_offset) of the answer, or of
    the share of matches. None where that is not calibrated."""
    evidence: float
    """In nats: by how much the images raised the answer's log-odds, or the log of that share."""
    state: State
    """"grounded" where a sample asserts it and one of its words there is; "unknown" where theirs
    is."""
    heatmap: np.ndarray
    """float32 (images, rows, columns), share of attention per patch, as a Span's: the mean over
    the samples that were read back."""
    words: tuple[Word, ...]
    """The phrase's, with their places in `text`."""


def stripped(question: str) -> str:
    """The phrase that a question asks for: "Is there a fracture?" -> "fracture".

    Raises:
        DataError: nothing is left.
    """
    phrase = asked_phrase(question)
    if not phrase:
        raise DataError(f"{question[:80]!r} names nothing: ask for a finding, such as 'fracture'")
    return phrase


def ask(
    model: Engine[M],
    memory: M,
    tokenizer: Tokenizer,
    phrase: str,
    prior: Callable[[], Drafts] | None = None,
) -> list[Asked]:
    """What a phrase is worth on each study of a memory.

    Args:
        memory: model.encode's.
        phrase: as a user types it; the form of a question is taken off. Of a negated one ("no
            effusion?") the answer is that of the absence: 1 minus the probability of the effusion.
        prior: gives what is sampled without images, of a memory of one study; None: it is sampled.

    Raises:
        UnknownFinding: a word that neither the vocabulary of findings nor the model's own has.
        DataError: no phrase, or one too long for the model.
    """
    asked, negated = without_negation(stripped(phrase))
    _require_known(model.config, tokenizer, asked)
    if model.config.answers:
        answers = _answered(model, memory, tokenizer, asked)
    else:
        blind = [prior()] if prior else sampled(model, model.without_images(memory), tokenizer)
        answers = _counted(model, memory, tokenizer, asked, blind)
    return [_of_absence(answer) for answer in answers] if negated else answers


def report_words(reports: Iterable[str]) -> list[str]:
    """The words that a checkpoint keeps of the reports it learned from, in small letters, sorted.

    Those of WORD_REPORTS reports at least, and no numbers: what is rarer was not learned, and may
    be a name or a date.
    """
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update({word.lower() for word in _WORDS.findall(report)})
    return sorted(
        word for word, count in counts.items() if count >= WORD_REPORTS and word.isalpha()
    )


def _require_known(config: NetworkConfig, tokenizer: Tokenizer, phrase: str) -> None:
    """Raises UnknownFinding for a word that no training report can have held.

    The checkpoint lists the words of these reports. A tokenizer is trained on them too, so what is
    one token of it was one of their words, also where the list is of a later training.
    """
    listed = frozenset(config.report_words or ())
    findings = read_findings(f"{phrase}.")
    in_terms = {
        index
        for spans in (
            (m.span() for _, pattern in TERMS for m in pattern.finditer(phrase)),
            (words for finding in findings for words in finding.words),
        )
        for span in spans
        for index in range(*span)
    }
    for word in _WORDS.finditer(phrase):
        spellings = (word[0], word[0].lower(), word[0].capitalize())
        if (
            word.start() not in in_terms
            and word[0].lower() not in _SMALL
            and word[0].lower() not in listed
            and not (findings and word[0].lower() in _PLACES)
            and all(len(tokenizer.encode(f" {each}").ids) > 1 for each in spellings)
        ):
            names = [name.replace("_", " ") for name, _ in TERMS]
            nearest = get_close_matches(phrase.lower(), names, n=3, cutoff=0)
            raise UnknownFinding(
                f"this model has no such finding as {phrase[:80]!r}: {word[0][:40]!r} is unknown "
                f"to it. The nearest that it has: {', '.join(nearest)}"
            )


def _of_absence(found: Asked) -> Asked:
    """The answer to the opposite question."""
    return replace(
        found,
        phrase=f"no {found.phrase}",
        matches=None
        if found.matches is None or found.samples is None
        else found.samples - found.matches,
        probability=None if found.probability is None else 1 - found.probability,
        evidence=-found.evidence if found.evidence else 0.0,
    )


def _counted(
    model: Engine[M], memory: M, tokenizer: Tokenizer, asked: str, blind: Sequence[Drafts]
) -> list[Asked]:
    """By sampled reports: how many of them assert it, with the images and without."""
    carrier = _carrier(model.config, tokenizer, asked)
    answers = []
    for study, texts in enumerate(sampled(model, memory, tokenizer)):
        prior = sum(bool(asserting_sentence(text, asked)) for _, text in blind[study])
        saying = [tokens for tokens, text in texts if asserting_sentence(text, asked)]
        part = memory.studies(slice(study, study + 1))
        texts_read = [
            (tokenizer.decode(tokens), words(model, part, [tokens], tokenizer)[0])
            for tokens in saying[:READ_BACK] or [carrier]
        ]
        answers.append(_answer(model.config, asked, texts_read, len(saying), prior))
    return answers


def _answered(model: Engine[M], memory: M, tokenizer: Tokenizer, phrase: str) -> list[Asked]:
    """By a question: two short texts a study, with the images and without."""
    named = read_findings(f"{phrase}.")
    if not named or read_denials(f"{phrase}."):
        known = ", ".join(name.replace("_", " ") for name, _ in TERMS)
        raise UnknownFinding(
            f"{phrase[:80]!r} names no finding this model was taught to answer for: ask for one of "
            f"{known}"
        )
    wanted = phrase_of(named[0])
    placed = bool(named[0].sides or named[0].zone)
    question = [wanted]
    odds = answer_log_odds(model, memory, tokenizer, question)[:, 0].tolist()
    prior = answer_log_odds(model, model.without_images(memory), tokenizer, question)[:, 0].tolist()
    text = wanted + ":" + ANSWERS[1]
    tokens = tokenizer.encode(text).ids
    read = words(model, memory, [tokens] * len(odds), tokenizer)
    return [
        Asked(
            phrase=phrase,
            text=text,
            matches=None,
            samples=None,
            probability=finding_probability(model.config, named[0].name, of_study, placed),
            evidence=of_study - without,
            # The map is that of the answer: the words before it were given, not chosen.
            state=answer[-1].state if of_study > 0 else "not grounded",
            heatmap=answer[-1].heatmap,
            words=tuple(answer[-1:]),
        )
        for of_study, without, answer in zip(odds, prior, read, strict=True)
    ]


def asserting_sentence(text: str, phrase: str) -> tuple[int, int] | None:
    """[start, end) of the sentence in which a report asserts a phrase, None where it does not.

    A phrase that names findings the reader knows is matched by what it means: name, and side and
    zone where it says them. Any other one by its words: all of them in one sentence, in any order,
    and nothing denied there that the phrase does not deny itself.
    """
    if wanted := _asserted(phrase):
        known = _findings(text)
        matches = [
            next(
                (
                    k
                    for k in known
                    if k.name == w.name and w.sides <= k.sides and w.zone in (None, k.zone)
                ),
                None,
            )
            for w in wanted
        ]
        if not all(matches) or matches[0] is None:
            return None
        return next((a, b) for a, b in sentences(text) if a <= matches[0].start < b)
    content = set(_WORDS.findall(phrase.lower())) - _SMALL
    for start, end in sentences(text):
        sentence = text[start:end]
        denied = bool(_NEGATION.search(sentence)) and not _NEGATION.search(phrase)
        if content and not denied and content <= set(_WORDS.findall(sentence.lower())):
            return start, end
    return None


@lru_cache(maxsize=4 * SAMPLES)
def _findings(text: str) -> tuple[Assertion, ...]:
    """Samples are read for every phrase that is asked."""
    return tuple(read_findings(text))


@lru_cache(maxsize=64)
def _asserted(phrase: str) -> tuple[Assertion, ...]:
    """The findings that a phrase names, none where it denies some."""
    return () if read_denials(f"{phrase}.") else tuple(read_findings(f"{phrase}."))


def log_odds(count: int, samples: int = SAMPLES) -> float:
    """Of a share of samples, kept finite by half a sample (Haldane 1956, Anscombe 1956)."""
    return float(np.log((count + 0.5) / (samples - count + 0.5)))


def _carrier(config: NetworkConfig, tokenizer: Tokenizer, phrase: str) -> list[int]:
    article = "an " if phrase[0].lower() in "aeiou" else "a "
    encoding = tokenizer.encode(CARRIER.format(phrase=article + phrase))
    start = CARRIER.index("{") + len(article)
    spans = [b - a for a, b in encoding.offsets if a < start + len(phrase) and b > start]
    if len(phrase) > 1 and all(length <= 1 for length in spans):
        raise UnknownFinding(
            f"{phrase[:40]!r} is unknown to it, which would spell it letter by letter: "
            "ask in words that its reports use"
        )
    if len(encoding.ids) > config.max_tokens:
        raise DataError(
            f"{phrase[:40]!r}... takes {len(encoding.ids)} tokens, more than the "
            f"{config.max_tokens} of this model: ask for a shorter phrase"
        )
    return encoding.ids


def _answer(
    config: NetworkConfig,
    phrase: str,
    texts: Sequence[tuple[str, list[Word]]],
    count: int,
    prior: int,
) -> Asked:
    """
    Args:
        texts: read back, each with its words.
        count, prior: sampled reports that assert the phrase, with the images and without.
    """
    maps, states = [], []
    for text, text_words in texts:
        start, end, which = _named(text, phrase, text_words)
        span = span_of(text, start, end, text_words, which, text_words[0].heatmap.shape)
        maps.append(span.heatmap)
        states.append(span.state)
    text, text_words = texts[0]
    start, end, which = _named(text, phrase, text_words)
    odds = config.ask_scale * log_odds(count) + config.ask_offset
    return Asked(
        phrase=phrase,
        text=text[start:end],
        matches=count,
        samples=SAMPLES,
        # An empty list: no finding was calibrated, and so no phrase.
        probability=None if config.calibrated == [] else 0.5 * (1 + math.tanh(odds / 2)),
        evidence=float(np.log((count + 0.5) / (prior + 0.5))),
        state=_state(states) if count else "not grounded",
        heatmap=np.mean(maps, axis=0),
        words=tuple(_moved(text_words[index], start) for index in which),
    )


def _state(states: Sequence[State]) -> State:
    """Of the texts that were read back."""
    return "grounded" if "grounded" in states else states[0]


def _named(text: str, phrase: str, text_words: Sequence[Word]) -> tuple[int, int, list[int]]:
    """[start, end) of the sentence that says a phrase, and which words name it there."""
    start, end = asserting_sentence(text, phrase) or max(sentences(text), key=lambda part: part[0])
    names = {w.name for w in read_findings(f"{phrase}.")}
    terms = [t for t in read_findings(text) if t.name in names and start <= t.start < end]
    which = {index for t in terms for a, b in t.words for index in inside(text_words, a, b)}
    if not which:
        content = set(_WORDS.findall(phrase.lower())) - _SMALL
        sentence = inside(text_words, start, end)
        which = {k for k in sentence if set(_WORDS.findall(text_words[k].text.lower())) & content}
    return start, end, sorted(which)


def _moved(word: Word, start: int) -> Word:
    return replace(word, start=word.start - start, end=word.end - start)
