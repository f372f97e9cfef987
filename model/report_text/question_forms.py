"""What a user's question asks for: "Is there a fracture?" asks for "fracture"."""

import re

__all__ = ["asked_phrase", "without_negation"]

_FORMS = re.compile(
    r"(?:please|so|and|then)\b[\s,]*"
    r"|(?:is|are|was|were) there\b|(?:is|are)n['\u2019]t there\b"
    r"|(?:do|can|could) (?:you|we|i|one) (?:see|find|recogni[sz]e|identify)\b"
    r"|(?:does|do|did|has|have|had) (?:the |this |these |that |he |she |it |they )?"
    r"(?:(?:patient|image|picture|radiograph|film|chest|x-?ray|study|lungs?)s? )?"
    r"(?:show|have|has|got|contain|demonstrate|suffer from)\b"
    r"|(?:show(?: me)?|find|look for|where (?:is|are)|what about|how about|(?:i )?suspect(?:ed)?)\b"
    r"|(?:any|some|an?|the|there is|there are)\b"
    r"|(?:(?:evidence|signs?|suspicion|a case) (?:of|for))\b",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s*(?:\b(?:here|present|visible|seen|there|(?:in|on) (?:the|this|these) "
    r"(?:image|picture|radiograph|film|x-?ray|study)s?)\b)?[\s?.!,;:]*$",
    re.IGNORECASE,
)
_STATE_OF = re.compile(r"(is|are) (the [\w\s-]+?) (not )?([\w-]+)", re.IGNORECASE)
_FREE_OF = re.compile(r"(?:are )?(?:the )?lungs (?:are )?(?:free|clear) of\b", re.IGNORECASE)
_NEGATION_FIRST = re.compile(
    r"(?:no|not|without|never|free of|clear of|negative for|(?:the )?(?:absence|lack) of)\b"
    r"(?: (?:an?|any|the|evidence of|signs? of)\b)*\s*",
    re.IGNORECASE,
)
_NEGATION_LATER = re.compile(
    r"\s+(?:not|never)\b|\s+(?:(?:is|are) )?(?:absent|excluded|ruled out)\s*$",
    re.IGNORECASE,
)


def asked_phrase(question: str) -> str:
    """The phrase that a question asks for; empty where it names nothing.

    "Is the heart enlarged?" asks whether "the heart is enlarged".
    """
    phrase = _TAIL.sub("", " ".join(question.split()))
    phrase = _FREE_OF.sub("no", phrase)
    if state := _STATE_OF.fullmatch(phrase):
        verb, subject, negation, condition = state.groups()
        return f"{subject.lower()} {verb.lower()} {negation or ''}{condition}"
    while form := _FORMS.match(phrase):
        phrase = phrase[form.end() :].strip(" ,")
    return phrase if re.search(r"[^\W\d_]", phrase) else ""


def without_negation(phrase: str) -> tuple[str, bool]:
    """What a phrase denies, and whether it does: "no effusion" -> ("effusion", True)."""
    for pattern in (_NEGATION_FIRST.match(phrase), _NEGATION_LATER.search(phrase)):
        if pattern:
            rest = " ".join(f"{phrase[: pattern.start()]} {phrase[pattern.end() :]}".split())
            if rest:
                return rest, True
    return phrase, False
