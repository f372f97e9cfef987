"""`crossray rexrank`: the cases of ReXrank's input file get reports, in its output file's form.

ReXrank (Zhang et al. 2024) asks of every system for one command with three arguments: input file,
output file, folder of the images. The output holds each case as it came in, with
"model_prediction".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from data_prep.report_text import fold, without_marks
from data_prep.tables import read_json
from model.errors import DataError, ImageError
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated
from model.imaging.views import view_of_words
from training.files import require_writable, write_json
from training.study_inputs import cut_indication

__all__ = ["Outcome", "run_rexrank"]

PREDICTION, WEIGHTS = "model_prediction", "model_sha256"
"""What is added to a case."""
INDICATION = re.compile(r"\bIndication: ?(.*?)(?= ?Comparison:|$)", re.IGNORECASE)
OTHER = re.compile(r"\b(?:Age|Gender|Comparison):", re.IGNORECASE)
TAGS = re.compile(r"</?context>", re.IGNORECASE)
SAVE_EVERY = 64
"""Cases between two savings: the file is written as a whole."""


@dataclass(frozen=True)
class Outcome:
    done: int
    kept: int
    """Cases an earlier run had finished."""
    shortened: int
    """Of those done, cases whose indication is longer than the model reads."""
    failed: Mapping[str, str]
    """Cases without a report, and why."""


def run_rexrank(
    generator: ReportGenerator, cases_file: Path, out: Path, images: Path, batch_size: int = 8
) -> Outcome:
    """Write a report for every case that has none yet in the output file.

    All images of a case are read whose views the model reads, and its indication where the model
    reads those. The input check does not refuse: a leaderboard's cases are radiographs.

    Args:
        cases_file: JSON, {case: {"image_path": [...], "frontal_lateral": [...], "context": ...}};
            the last two may be missing.
        out: JSON to write; a case that it holds is kept, or done again where the input has changed.
        images: folder that the paths begin in.

    Raises:
        DataError: a file that is not as above; an output of another model or of other cases.
    """
    require_writable(out)
    if not images.is_dir():
        raise DataError(f"there is no folder {str(images)!r}: name the one the paths begin in")
    cases = _cases(cases_file)
    if out.exists() and out.samefile(cases_file):
        raise DataError(f"{out.name!r} is input and output at once: name another output")
    sha256 = generator.identity.sha256
    written = _earlier(out, sha256, cases) if out.is_file() else {}
    kept = len(written)
    missing = [name for name in cases if name not in written]
    failed: dict[str, str] = {}
    shortened = 0
    with tqdm(total=len(missing), unit="case") as bar:
        for first in range(0, len(missing), batch_size):
            batch = missing[first : first + batch_size]
            exams = _exams(generator, {name: cases[name] for name in batch}, images, failed)
            for name, report in zip(
                exams, generator.reports(list(exams.values()), input_check=False), strict=True
            ):
                written[name] = {**cases[name], PREDICTION: report.text, WEIGHTS: sha256}
                indication = _indication(cases[name])
                shortened += len(report.indication) < len(indication) and bool(report.indication)
            bar.update(len(batch))
            if first // SAVE_EVERY < (first + batch_size) // SAVE_EVERY:
                write_json(out, _ordered(cases, written))
    write_json(out, _ordered(cases, written))
    return Outcome(len(missing) - len(failed), kept, shortened, failed)


def _ordered(cases: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: written[name] for name in cases if name in written}


def _cases(path: Path) -> dict[str, dict[str, Any]]:
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path.name!r} holds no cases: ReXrank's input is {{case: {{...}}}}")
    for name, case in content.items():
        paths = case.get("image_path") if isinstance(case, dict) else None
        if not paths or not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
            raise DataError(f"case {name!r} of {path.name!r} has no list of paths as 'image_path'")
        views = case.get("frontal_lateral")
        if views is not None and (not isinstance(views, list) or len(views) != len(paths)):
            raise DataError(
                f"case {name!r} of {path.name!r}: 'frontal_lateral' does not tell a view for each "
                f"of its {len(paths)} images"
            )
        try:
            json.dumps({name: case}, allow_nan=False, ensure_ascii=False).encode()
        except ValueError as error:
            raise DataError(
                f"case {name!r} of {path.name!r} holds NaN or half a letter ({error}), which JSON "
                "cannot: write null, or the whole letter"
            ) from error
    return content


def _earlier(out: Path, sha256: str, cases: Mapping[str, Any]) -> dict[str, Any]:
    """The cases that are finished: as they stand in the input, with a report of this model."""
    content = read_json(out)
    written = content.values() if isinstance(content, dict) else [content]
    if any(not isinstance(case, dict) or case.get(WEIGHTS) != sha256 for case in written):
        raise DataError(
            f"{out.name!r} holds what this model has not written: name another file, or remove it"
        )
    if other := [name for name in content if name not in cases]:
        raise DataError(
            f"{out.name!r} holds {len(other)} cases that the input lacks, such as {other[0]!r}: "
            "name another file"
        )
    added = (PREDICTION, WEIGHTS)
    return {
        name: case
        for name, case in content.items()
        if {k: v for k, v in case.items() if k not in added}
        == {k: v for k, v in cases[name].items() if k not in added}
    }


def _exams(
    generator: ReportGenerator,
    cases: Mapping[str, Mapping[str, Any]],
    images: Path,
    failed: dict[str, str],
) -> dict[str, Exam]:
    """The cases that can be read; why others cannot is put into `failed`."""
    exams = {}
    for name, case in cases.items():
        try:
            exams[name] = _exam(generator, case, images)
        except DataError as error:
            failed[name] = str(error)
    return exams


def _exam(generator: ReportGenerator, case: Mapping[str, Any], images: Path) -> Exam:
    """
    Raises:
        DataError: an image that cannot be read or lies outside the folder; none has a view that
            the model reads.
    """
    views = case.get("frontal_lateral") or [""] * len(case["image_path"])
    radiographs: list[Radiograph] = []
    reasons = []
    for name, view in zip(case["image_path"], views, strict=True):
        stated = view_of_words(str(view))
        reason = generator.why_unread(stated)
        if reason is None:
            try:
                read = read_image_isolated(_inside(images, name))
            except ImageError as error:
                raise DataError(f"{name!r}: {error}") from error
            image = replace(read, view=stated or read.view)
            reason = generator.why_unread(image.view)
        if reason is None:
            radiographs.append(image)
        else:
            reasons.append(reason)
    if not radiographs:
        raise DataError(f"no image that this model reads: {'; '.join(reasons)}")
    return Exam(radiographs, cut_indication(generator, _indication(case)))


def _indication(case: Mapping[str, Any]) -> str:
    """What the context says of why the study was asked for, as `crossray prepare` cleans it."""
    text = fold(TAGS.sub(" ", str(case.get("context") or "")))
    heading = INDICATION.search(text)
    if heading is None and OTHER.search(text):
        return ""
    return without_marks(heading[1] if heading else text, drop=False)


def _inside(images: Path, name: str) -> Path:
    """An image's path; the input file is a stranger's."""
    parts = PurePosixPath(name.lstrip("/")).parts
    if ".." in parts or "\0" in name:
        raise DataError(f"the path {name!r} leads out of the folder of images")
    return images.joinpath(*parts)
