"""How urgent a study is: its most urgent finding's weight times its probability.

The order is a proposal for reading, computed from a draft that may be wrong; no study is hidden.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from app.store.records import Finding
from app.store_options import MALPOSITION
from model.report_text.parser import sentences

__all__ = ["is_malpositioned", "urgency", "weights_hash"]

UNKNOWN_PROBABILITY = 0.5
"""Of a finding that the draft gives no probability."""
REPEATED = 0.01
"""What every further finding adds, of its own weight: of two pneumothoraces the one with an
effusion comes first."""
DEFAULT_WEIGHT = 1.0
"""Of a finding without a weight of its own."""
LINE_OR_TUBE = re.compile(r"\b(?:tube|catheter|line|PICC|ETT|NGT?|lead)s?\b", re.IGNORECASE)
OUT_OF_PLACE = re.compile(
    r"\bmal-?position\w*|\bmisplaced\b|\btoo (?:low|high|deep|far)\b|\bmain ?stem\b"
    r"|\bmain(?:stem)? bronchus\b|\b(?:withdraw|pull(?:ed)? back|retract|advance|reposition)\w*"
    r"|\bcoiled\b",
    re.IGNORECASE,
)
DENIED = re.compile(r"\b(?:no|not|without|appropriate\w*|satisfactory)\b", re.IGNORECASE)


def urgency(text: str, findings: Iterable[Finding], weights: Mapping[str, float]) -> float:
    """Of a report's current text, at least 0; larger is more urgent."""
    parts = [
        weights.get(finding.name, DEFAULT_WEIGHT)
        * (UNKNOWN_PROBABILITY if finding.probability is None else finding.probability)
        for finding in findings
    ]
    if is_malpositioned(text):
        parts.append(weights.get(MALPOSITION, DEFAULT_WEIGHT))
    if not parts:
        return 0.0
    return max(parts) + REPEATED * (sum(parts) - max(parts))


def is_malpositioned(text: str) -> bool:
    """Whether a sentence calls a tube or line out of place."""
    for start, end in sentences(text):
        sentence = text[start:end]
        if (
            LINE_OR_TUBE.search(sentence)
            and OUT_OF_PLACE.search(sentence)
            and not DENIED.search(sentence)
        ):
            return True
    return False


def weights_hash(weights: Mapping[str, float]) -> str:
    """By which a store knows that its order was made with other weights."""
    return hashlib.sha256(json.dumps(sorted(weights.items())).encode()).hexdigest()
