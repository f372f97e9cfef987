"""How texts are normalised before they are compared: half of the difference between published scores.

Three ways, each for generated texts and references alike:

- `r2gen`: as R2Gen (Chen et al. 2020, EMNLP) and the standard IU X-Ray table: lower case, sentences
  between " . ", other punctuation dropped, words that are rare in the train reports written as
  <unk>, 60 words at most. Findings alone.
- `rexrank`: as the leaderboard of that name: "Findings: ... Impression: ..." with both sections,
  then lower case and punctuation split off.
- `raw`: the texts as they are, words between spaces.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["PROTOCOLS", "R2GEN_WORDS", "UNKNOWN", "Vocabulary", "clean_r2gen", "split_words"]

PROTOCOLS = ("r2gen", "rexrank", "raw")
R2GEN_WORDS = 60
"""Of a text, the point that ends each sentence counted."""
RARE = 3
"""A word that fewer than so many train reports' words are is <unk>."""
UNKNOWN = "<unk>"

_NUMBERS = re.compile(r"(?<!\S)\d\. ")
