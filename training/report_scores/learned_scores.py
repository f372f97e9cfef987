"""Networks of other people that judge reports, where somebody has their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus_scores import Measure
from training.report_scores.chexbert import CheXbert
from training.report_scores.radgraph import RadGraph

__all__ = ["NO_LEARNED_METRICS", "LearnedMetrics"]


@dataclass(frozen=True)
class LearnedMetrics:
    chexbert: CheXbert | None = None
    radgraph: RadGraph | None = None

    @classmethod
    def load(cls, chexbert: Path | None = None, radgraph: Path | None = None) -> "LearnedMetrics":
        """
        Args:
            chexbert, radgraph: folder with the network's files; None goes without.

        Raises:
            DataError: a folder that is not what it should be.
        """
        return cls(
            CheXbert.load(chexbert) if chexbert is not None else None,
            RadGraph.load(radgraph) if radgraph is not None else None,
        )

    def measures(self, generated: Sequence[str], references: Sequence[str]) -> list[Measure]:
        """What each that is there makes of reports as they are written."""
        there = [judge for judge in (self.chexbert, self.radgraph) if judge is not None]
        return [each for judge in there for each in judge.measures(generated, references)]

    def identities(self) -> tuple[str, ...]:
        """Whose scores they are: of other weights they are not comparable."""
        return tuple(j.identity for j in (self.chexbert, self.radgraph) if j is not None)

    def missing(self) -> dict[str, str]:
        """Those that are not there, and how to get them."""
        named = {"chexbert": self.chexbert, "radgraph": self.radgraph}
        return {
            name: f"needs its weights: --{name} FOLDER, see docs/how-to/scores.md"
            for name, judge in named.items()
            if judge is None
        }


NO_LEARNED_METRICS = LearnedMetrics()
