"""What a phrase that a report need not hold is worth on the pictures of a study.

A report of the study is written first. At the start of each of its sentences, the phrase is put in
the place of what follows, in sentences as reports have them, and read back as if it had been
written: once with the pictures and once without. The evidence is by how much the pictures raise the
chance that the report says it somewhere. Where it would be said is not known beforehand (devices
come late, what is severe comes first), and neither are the words around it, so that chances are
added over all of them. Any phrase can be asked, not only findings that a model was trained on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.decoding import decode
from model.errors import DataError
from model.findings import inside
from model.heatmap import (
    SKIPPED_SHARE,
    Look,
    State,
    Word,
    gather,
    mean_attention,
    spanned,
    token_places,
)
from model.network import Memory, ReportModel
from model.reader import sentences

__all__ = ["Asked", "ask", "evidence", "stripped"]

# English as reports have it, and no word of it names a finding.
CARRIERS = (
    "{Phrase}.",
    "There is {phrase}.",
    "There is {article} {phrase}.",
    "Small {phrase}.",
    "There is a small {phrase}.",
)
SIDED_CARRIERS = (
    "Right {phrase}.",
    "Left {phrase}.",
    "Small right {phrase}.",
    "Small left {phrase}.",
    "There is a right {phrase}.",
    "There is a left {phrase}.",
)
"""For phrases that say no side."""

_FORMS = re.compile(
    r"(?:please|so|and|then)\b[\s,]*"
    r"|(?:is|are|was|were) there\b"
    r"|(?:do|can|could) (?:you|we|i|one) (?:see|find|recogni[sz]e|identify)\b"
    r"|(?:does|do|did|has|have|had) (?:the |this |these |that |he |she |it |they )?"
    r"(?:(?:patient|picture|image|radiograph|film|chest|x-?ray|study|lungs?)s? )?"
    r"(?:show|have|has|got|contain|demonstrate|suffer from)\b"
    r"|(?:show(?: me)?|find|look for|where (?:is|are)|what about|how about|(?:i )?suspect(?:ed)?)\b"
    r"|(?:any|some|an?|the|there is|there are)\b"
    r"|(?:(?:evidence|signs?|suspicion|a case) (?:of|for))\b",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s*(?:\b(?:here|present|visible|seen|there|(?:in|on) (?:the|this|these) "
    r"(?:picture|image|radiograph|film|x-?ray|study)s?)\b)?[\s?.!,;:]*$",
    re.IGNORECASE,
)
_STATE_OF = re.compile(r"(is|are) (the [\w\s-]+) ([\w-]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """What one phrase is worth on one study."""

    phrase: str
    """Without the form of the question: "fracture" of "is there a fracture?"."""
    text: str
    """The sentence that the pictures speak for most, with the phrase in it."""
    probability: float
    """In (0, 1): the chance that it is there, sigmoid(ask_scale * evidence + ask_offset)."""
    evidence: float
    """In nats: by how much the pictures raised the log of the chance that a report of the study
    says it, in any of the sentences and places that were tried."""
    state: State
    """"grounded" where one of its words is."""
    heatmap: np.ndarray
    """float32 (pictures, rows, columns), share of attention per patch, as a Span's."""
    words: tuple[Word, ...]
    """The phrase's, with their places in `text`."""


def stripped(question: str) -> str:
    """The phrase that a question asks for: "Is there a fracture?" -> "fracture".

    Raises:
        DataError: nothing is left.
    """
    phrase = _TAIL.sub("", " ".join(question.split()))
    if state := _STATE_OF.fullmatch(phrase):
        verb, subject, condition = state.groups()
        return f"{subject.lower()} {verb.lower()} {condition}"
    while form := _FORMS.match(phrase):
        phrase = phrase[form.end() :].strip(" ,")
    if not re.search(r"[^\W\d_]", phrase):
        raise DataError(f"{question[:80]!r} names nothing: ask for a finding, such as 'fracture'")
    return phrase


@torch.inference_mode()
def ask(
    model: ReportModel,
    memory: Memory,
    tokenizer: Tokenizer,
    phrase: str,
    texts: Sequence[list[int]] | None = None,
) -> list[Asked]:
    """What a phrase is worth on each study of a memory.

    Args:
        memory: model.encode's.
        phrase: as a user types it; the form of a question is taken off.
        texts: the studies' reports, as decode writes them; None: they are written here.

    Raises:
        DataError: no phrase, one too long for the model, or one of which its tokenizer knows no
            more than single letters.
    """
    asked = stripped(phrase)
    carriers = _carriers(model, tokenizer, asked)
    answers = []
    for study, text in enumerate(decode(model, memory) if texts is None else texts):
        part = memory.studies(slice(study, study + 1))
        with_pictures = _Read(model, part, text)
        without = _Read(model, part.without_pictures(), text)
        tries = [
            tried
            for place in _openings(model, tokenizer, text, carriers)
            for tried in _tried(with_pictures, without, place, carriers)
        ]
        answers.append(_answer(model, tokenizer, asked, tries))
    return answers


def evidence(
    model: ReportModel,
    memory: Memory,
    tokenizer: Tokenizer,
    phrase: str,
    texts: Sequence[list[int]] | None = None,
) -> np.ndarray:
    """The evidence for a phrase on each study of a memory, float64 (studies,), in nats.

    Args and Raises as for `ask`.
    """
    return np.array([each.evidence for each in ask(model, memory, tokenizer, phrase, texts)])


@dataclass(frozen=True)
class _Carrier:
    tokens: list[int]
    """Of " There is a fracture.", with the space that parts it from the text before."""
    start: int
    end: int
    """[start, end) characters of the phrase."""
    through: int
    """Tokens up to the phrase's last."""


@dataclass(frozen=True)
class _Tried:
    """A carrier read back in one place."""

    carrier: _Carrier
    look: Look
    told: float
    """Log-probability of all words through the phrase, with the pictures."""
    prior: float
    """And without."""


def _carriers(model: ReportModel, tokenizer: Tokenizer, phrase: str) -> list[_Carrier]:
    sided = re.search(r"\b(?:right|left|bilateral|both)\b", phrase, re.IGNORECASE)
    forms = CARRIERS if sided else CARRIERS + SIDED_CARRIERS
    article = "an" if phrase[0].lower() in "aeiou" else "a"
    capital = phrase[0].upper() + phrase[1:]
    carriers = []
    for form in forms:
        before, after = re.split(r"\{phrase\}", form, flags=re.IGNORECASE)
        own = capital if "{Phrase}" in form else phrase
        before = f" {before.format(article=article)}"
        start, end = len(before), len(before) + len(own)
        encoding = tokenizer.encode(f"{before}{own}{after}")
        offsets = [(k, b - a) for k, (a, b) in enumerate(encoding.offsets) if a < end and b > start]
        if len(own) > 1 and all(length <= 1 for _, length in offsets):
            raise DataError(
                f"{phrase[:40]!r} is unknown to this model, which would spell it letter by letter: "
                "ask in words that its reports use"
            )
        carriers.append(_Carrier(encoding.ids, start, end, offsets[-1][0] + 1))
    longest = max(len(carrier.tokens) for carrier in carriers)
    if longest > model.config.max_tokens:
        raise DataError(
            f"{phrase[:40]!r}... takes {longest} tokens, more than the {model.config.max_tokens} "
            "of this model: ask for a shorter phrase"
        )
    return carriers


def _openings(
    model: ReportModel, tokenizer: Tokenizer, text: list[int], carriers: Sequence[_Carrier]
) -> list[int]:
    """After how many tokens of a report a sentence starts, where a carrier still fits."""
    characters = tokenizer.decode(text)
    _, ends = token_places(tokenizer, text)
    before = {len(characters[:start].rstrip()) for start, _ in sentences(characters)} or {0}
    places = sorted({int((ends <= length).sum()) if length else 0 for length in before})
    room = model.config.max_tokens - max(len(carrier.tokens) for carrier in carriers)
    return [place for place in places if place <= room] or [0]


class _Read:
    """A text that has been read once: others can go on from any place in it. A TokenCache."""

    def __init__(self, model: ReportModel, memory: Memory, text: list[int]) -> None:
        self.model = model
        self.memory = memory
        self.inputs = [model.config.bos_token_id, *text[:-1]]
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._held = 0
        self._decode([self.inputs])

    def go_on(self, place: int, texts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """As heatmap.forced's answer, of texts that follow the first `place` tokens."""
        config = self.model.config
        longest = max(map(len, texts))
        tokens = torch.tensor(
            [[*text, *[config.pad_token_id] * (longest - len(text))] for text in texts]
        )
        self._held = place
        before = [[self.inputs[place], *row[:-1]] for row in tokens.tolist()]
        logits, attentions = self._decode(before)
        logits = logits.float().cpu() / config.temperature
        told = logits.log_softmax(-1).gather(2, tokens[:, :, None])[:, :, 0]
        return mean_attention(attentions).cpu(), told

    def _decode(self, tokens: list[list[int]]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.model.decoder(
            torch.tensor(tokens, device=self.memory.patch_mask.device),
            self.memory.cross_keys_layers.unbind(1),
            self.memory.cross_values_layers.unbind(1),
            self.memory.bias(self.model.grid),
            self,
            need_attention=bool(self._layers),
            first_attention=int(self.model.config.layers * SKIPPED_SHARE),
        )

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        if layer == len(self._layers):
            self._layers.append((keys, values))
            return keys, values
        rows = keys.shape[0]
        held_keys, held_values = (
            part[:, :, : self._held].expand(rows, -1, -1, -1) for part in self._layers[layer]
        )
        return torch.cat((held_keys, keys), dim=2), torch.cat((held_values, values), dim=2)

    def get_seq_length(self) -> int:
        return self._held


def _tried(
    with_pictures: _Read, without: _Read, place: int, carriers: Sequence[_Carrier]
) -> list[_Tried]:
    """Each carrier read back after the first `place` tokens of a text."""
    tokens = [carrier.tokens for carrier in carriers]
    attention, told = with_pictures.go_on(place, tokens)
    _, prior = without.go_on(place, tokens)
    present = int(with_pictures.memory.patch_mask.sum())
    return [
        _Tried(
            carrier,
            Look(
                attention[row, : len(carrier.tokens), 1:present].numpy(),
                told[row, : len(carrier.tokens)].numpy(),
                prior[row, : len(carrier.tokens)].numpy(),
            ),
            float(told[row, : carrier.through].sum()),
            float(prior[row, : carrier.through].sum()),
        )
        for row, carrier in enumerate(carriers)
    ]


def _answer(
    model: ReportModel, tokenizer: Tokenizer, phrase: str, tries: Sequence[_Tried]
) -> Asked:
    gain = _log_sum([tried.told for tried in tries]) - _log_sum([tried.prior for tried in tries])
    best = max(tries, key=lambda tried: tried.told - tried.prior)
    carrier = best.carrier
    text = tokenizer.decode(carrier.tokens)
    told = gather(tokenizer, carrier.tokens, best.look, model.config, model.grid)
    which = inside(told, carrier.start, carrier.end)
    span = spanned(text, carrier.start, carrier.end, told, which, ())
    odds = model.config.ask_scale * gain + model.config.ask_offset
    return Asked(
        phrase=phrase,
        text=text,
        probability=float(torch.sigmoid(torch.tensor(odds, dtype=torch.float64))),
        evidence=gain,
        state=span.state,
        heatmap=span.heatmap,
        words=tuple(told[place] for place in which),
    )


def _log_sum(logs: Sequence[float]) -> float:
    """The log of the sum of what these are the logs of."""
    return float(np.logaddexp.reduce(logs))
