"""METEOR 1.5 (Denkowski and Lavie 2014) through its authors' own program, where Java is present.

The program comes with pycocoevalcap, the extra `score`. It is asked for the counts of every study:
finding what matches is its art. The score of a corpus follows from sums of those counts.
"""

import atexit
import contextlib
import functools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.bootstrap import divide
from training.corpus_scores import Measure

__all__ = ["meteor_measure", "meteor_or_why", "why_no_meteor"]

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""Its parameters for English: recall's share, the penalty's exponent and weight, content words'
share."""
MATCHERS = np.array([1.0, 0.6, 0.8, 0.6])
"""What a match is worth that is exact, of stems, of synonyms, of paraphrases."""
COUNTS = 23
MEMORY = "-Xmx2G"
SECONDS = 900

_Column = NDArray[np.float64]


def why_no_meteor() -> str | None:
    """What is missing for METEOR; None where it can be computed."""
    if shutil.which("java") is None:
        return "Java is not installed"
    if _program() is None:
        return "pycocoevalcap is not installed: install the extra `score`"
    return None


def meteor_or_why(generated: Sequence[str], references: Sequence[str]) -> Measure | str:
    """METEOR, or what is missing for it or fails: other scores, of hours of work, go on."""
    if reason := why_no_meteor():
        return reason
    try:
        return meteor_measure(generated, references)
    except DataError as error:
        return str(error)


def meteor_measure(generated: Sequence[str], references: Sequence[str]) -> Measure:
    """METEOR of normalized texts, English, as pycocoevalcap computes it.

    Raises:
        DataError: the program fails; its message is quoted.
    """
    pairs = zip(references, generated, strict=True)
    # Its fields are separated by three bars.
    asked = [
        " ||| ".join(("SCORE", *(text.replace("|||", " ") for text in pair))) for pair in pairs
    ]
    answers = _run(asked)
    try:
        counts = np.array([line.split() for line in answers], np.float64).reshape(-1, COUNTS)
    except ValueError as error:
        raise DataError(f"METEOR answers {answers[0][:100]!r}, no {COUNTS} counts") from error
    # As the program adds up a corpus: a text that is matched whole has no chunks to be fined for.
    lengths, matches = counts[:, :2], counts[:, -2:]
    counts[(lengths == matches).all(axis=1) & (counts[:, -3] == 1), -3] = 0
    return Measure("meteor", counts, _scores, len(counts))


def _scores(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """(corpora, 23), in the program's order -> the score of each (its paper's section 2)."""
    predicted, true, predicted_function, true_function = sums[:, :4].T
    matches = sums[:, 4:20].reshape(-1, len(MATCHERS), 4)
    chunks, predicted_matched, true_matched = sums[:, 20:].T
    predicted_content, true_content, predicted_rest, true_rest = np.moveaxis(matches, 2, 0)

    def share(content: _Column, rest: _Column, words: _Column, function: _Column) -> _Column:
        found = (DELTA * content + (1 - DELTA) * rest) @ MATCHERS
        return divide(found, DELTA * (words - function) + (1 - DELTA) * function)

    precision = share(predicted_content, predicted_rest, predicted, predicted_function)
    recall = share(true_content, true_rest, true, true_function)
    mean = divide(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    fragments = divide(2 * chunks, predicted_matched + true_matched)
    result: NDArray[np.float64] = np.nan_to_num(
        mean * (1 - GAMMA * np.nan_to_num(fragments) ** BETA)
    )
    return result


class _Scorer:
    """The program while it runs: it reads its tables for many seconds, then serves any texts."""

    def __init__(self, java: str, program: Path) -> None:
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [java, MEMORY, "-jar", program.name, "-", "-", "-stdio", "-l", "en", "-norm"],
            cwd=program.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            errors="replace",
        )
        atexit.register(self.end)

    def ask(self, lines: Sequence[str]) -> list[str]:
        """An answer a line; fewer where it ended, or was ended after SECONDS."""
        assert self.process.stdin is not None and self.process.stdout is not None
        watch = threading.Timer(SECONDS, self.process.kill)
        watch.start()
        answers: list[str] = []
        with contextlib.suppress(BrokenPipeError):
            for line in lines:
                self.process.stdin.write(f"{line}\n")
                self.process.stdin.flush()
                answer = self.process.stdout.readline()
                if not answer:
                    break
                answers.append(answer)
        watch.cancel()
        return answers

    def end(self) -> str:
        """End it; returns the last it wrote of errors."""
        atexit.unregister(self.end)
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        self.errors.seek(0)
        last = self.errors.read()[-300:]
        self.errors.close()
        return last


@functools.cache
def _scorer() -> _Scorer:
    program, java = _program(), shutil.which("java")
    assert program is not None and java is not None, "ask why_no_meteor first"
    try:
        return _Scorer(java, program)
    except OSError as error:
        raise DataError(f"METEOR cannot be started: {error.strerror}") from error


def _run(lines: Sequence[str]) -> list[str]:
    answers = _scorer().ask(lines)
    if len(answers) < len(lines):
        last = _scorer().end()
        _scorer.cache_clear()
        raise DataError(f"METEOR failed ({len(answers)} answers of {len(lines)}): {last}")
    return answers


def _program() -> Path | None:
    # Found, not imported: the package needs nothing of itself for this.
    found = find_spec("pycocoevalcap")
    for folder in (found and found.submodule_search_locations) or ():
        program = Path(folder) / "meteor" / "meteor-1.5.jar"
        if program.is_file():
            return program
    return None
