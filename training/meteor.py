"""METEOR 1.5 (Denkowski and Lavie 2014) through its authors' own program, where Java is present.

The program comes with pycocoevalcap, the extra `score`. It is asked twice: for the counts of every
study, then for the score of sums of those counts, which is how it scores a corpus itself.
"""

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from training.measures import Measure

__all__ = ["meteor_fails", "meteor_measure", "why_no_meteor"]

MEMORY = "-Xmx2G"
SECONDS = 900


def why_no_meteor() -> str | None:
    """What is missing for METEOR; None where it can be computed."""
    if shutil.which("java") is None:
        return "Java is not installed"
    if _program() is None:
        return "pycocoevalcap is not installed: install the extra `score`"
    return None


def meteor_fails() -> str | None:
    """What its program says where it is there and does not run; None where it does.

    A Java that starts nothing, or too little memory, should not end an evaluation of hours.
    """
    try:
        meteor_measure(["clear"], ["clear"])
    except DataError as error:
        return str(error)
    return None


def meteor_measure(generated: Sequence[str], references: Sequence[str]) -> Measure:
    """METEOR of normalised texts, English, as pycocoevalcap computes it.

    Raises:
        DataError: the program fails; what it said is quoted.
    """
    pairs = zip(references, generated, strict=True)
    # Its fields are told apart by three bars.
    asked = [
        " ||| ".join(("SCORE", *(text.replace("|||", " ") for text in pair))) for pair in pairs
    ]
    counts = np.array([line.split() for line in _run(asked, len(asked))], np.float64)
    # As the program adds up a corpus: a text that is matched whole has no chunks to be fined for.
    lengths, matches = counts[:, :2], counts[:, -2:]
    counts[(lengths == matches).all(axis=1) & (counts[:, -3] == 1), -3] = 0
    return Measure("meteor", counts, _scores, len(counts))


def _scores(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    told = [" ".join(map(repr, row)) for row in sums.tolist()]
    # The last line is the score of all the rows together.
    lines = _run([" ||| ".join(("EVAL", *told))], len(told) + 1)
    return np.array([float(line) for line in lines[:-1]])


def _run(lines: Sequence[str], answers: int) -> list[str]:
    program = _program()
    java = shutil.which("java")
    assert program is not None and java is not None, "ask why_no_meteor first"
    command = [java, MEMORY, "-jar", program.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    try:
        done = subprocess.run(
            command,
            cwd=program.parent,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
    except OSError as error:
        raise DataError(f"METEOR cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise DataError(f"METEOR has not answered within {SECONDS} seconds") from error
    told = done.stdout.splitlines()
    if done.returncode or len(told) != answers:
        raise DataError(f"METEOR failed ({len(told)} answers of {answers}): {done.stderr[-300:]}")
    return told


def _program() -> Path | None:
    # Found, not imported: the package needs nothing of itself for this.
    found = find_spec("pycocoevalcap")
    for folder in (found and found.submodule_search_locations) or ():
        program = Path(folder) / "meteor" / "meteor-1.5.jar"
        if program.is_file():
            return program
    return None
