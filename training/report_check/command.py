"""The command `crossray evaluate-check`: fits on one folder of phantoms, measures on another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from data_prep.manifest import Study, manifest_hash, read_studies
from data_prep.phantom.report_errors import KINDS
from model.check import Fits
from model.checkpoint_folder import as_json, read_folder, write_folder
from model.errors import DataError
from model.generator import ReportGenerator
from training.bootstrap import Score, interval
from training.files import require_writable, write_json
from training.provenance import data_record, record_of, saw
from training.report_check.fit import fit_check
from training.report_check.measure import BASELINES, Detection, detection, read_reports
from training.study_inputs import readable

__all__ = ["CheckOptions", "run_evaluate_check"]

THE_CHECK = "check"
FIT_SEED, MEASURE_SEED = 0, 1
"""Of wordings and errors."""


@dataclass(frozen=True)
class CheckOptions:
    limit: int | None = None
    """Studies of each folder; None is all."""
    save: bool = False
    """Write what was fitted into the checkpoint."""


def run_evaluate_check(
    folder: Path,
    data: Path,
    fit_on: Path,
    json_file: Path | None = None,
    options: CheckOptions = CheckOptions(),
) -> str:
    """Measure how well a checkpoint finds errors in reports; returns the tables to print.

    Args:
        data: prepared phantoms to measure on, of a seed that neither the weights nor `fit_on` saw;
            or composed radiographs, of which the patients of the validate split count.
        fit_on: prepared phantoms that probabilities and thresholds are fitted on, of the check and
            of each baseline.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError: neither, or phantoms that something was learned from.
    """
    require_writable(json_file)
    generator = ReportGenerator.load(folder, engine="auto")
    record = record_of(folder)
    for each in (data, fit_on):
        if _source(each) == "phantom" and saw(record, each):
            raise DataError(
                f"the weights were trained on phantoms of {str(each)!r}: take a new seed"
            )
    if saw({"data": data_record(fit_on)}, data):
        raise DataError(f"{str(data)!r} and {str(fit_on)!r} are of one seed: take two")
    sources = {THE_CHECK: lambda read: read.measured, **BASELINES}
    fitted_on = list(
        read_reports(generator, fit_on, _studies(generator, fit_on, options), FIT_SEED)
    )
    fits = {name: fit_check(fitted_on, source) for name, source in sources.items()}
    studies = _studies(generator, data, options)
    reports = list(read_reports(generator, data, studies, MEASURE_SEED))
    found = {
        name: detection(reports, fits[name], len(studies), source)
        for name, source in sources.items()
    }
    if options.save:
        _save(folder, fit_on, fits[THE_CHECK])
    if json_file is not None:
        numbers = {name: asdict(each) for name, each in found.items()}
        made = {"model": generator.identity.name, "sha256": generator.identity.sha256}
        hashes = {"data_sha256": manifest_hash(data), "fit_sha256": manifest_hash(fit_on)}
        write_json(json_file, {**made, **hashes, "fits": fits, "detection": numbers})
    return check_table(generator.identity.name, len(studies), len(reports), found)


def _source(data: Path) -> str | None:
    source: str | None = data_record(data).get("source")
    return source


def _studies(generator: ReportGenerator, data: Path, options: CheckOptions) -> list[Study]:
    """Of composed radiographs those of patients that no weight has learned from."""
    source = _source(data)
    if source not in ("phantom", "composed"):
        raise DataError(
            f"{str(data)!r} holds neither phantoms nor composed radiographs: errors are put into "
            "reports of which every finding is known"
        )
    chosen = read_studies(data, "validate" if source == "composed" else None)
    studies = readable(chosen, generator.model.config.views)
    return list(islice(studies, options.limit))


def _save(folder: Path, fit_on: Path, fits: Fits) -> None:
    """Into its config and record; the weights' file stays as it is."""
    contents, _ = read_folder(folder)
    config = json.loads(contents["config.json"])
    config["check"] = {code: list(numbers) for code, numbers in fits.items()}
    record = json.loads(contents["training.json"])
    record["check"] = {"data": data_record(fit_on)}
    write_folder(
        folder, {**contents, "config.json": as_json(config), "training.json": as_json(record)}
    )


def check_table(name: str, studies: int, reports: int, found: Mapping[str, Detection]) -> str:
    """F1 of every kind and method, then precision and recall of the check, then false alarms."""
    own = found[THE_CHECK]
    head = f"{name}: {reports} reports of {studies} studies, value [95 %]"
    f1 = _rows("F1", KINDS, {method: each.f1 for method, each in found.items()})
    details = _rows(
        "check",
        KINDS,
        {
            "precision": own.precision,
            "recall": own.recall,
            "false alarms": own.false_alarms_by_kind,
        },
    )
    alarms = {method: {"true reports": each.false_alarms} for method, each in found.items()}
    parts = (head, f1, details, _rows("false alarms", ("true reports",), alarms), _missed(own))
    return "\n\n".join(parts)


def _missed(own: Detection) -> str:
    """Per kind the findings whose errors were missed, the most missed first."""
    lines = ["missed by the check, of all"]
    for kind, names in own.missed.items():
        most = sorted(names.items(), key=lambda item: -item[1][0])
        shown = [f"{name} {lost}/{every}" for name, (lost, every) in most if lost]
        lines.append(f"{kind:<14}{', '.join(shown) or 'none'}")
    return "\n".join(lines)


def _rows(title: str, rows: Sequence[str], columns: Mapping[str, Mapping[str, Score]]) -> str:
    lines = [f"{title:<14}{'n':>6}  " + "".join(f"{name:<24}" for name in columns)]
    first: Mapping[str, Any] = next(iter(columns.values()))
    for row in rows:
        cells = "".join(f"{interval(scores[row], 3):<24}" for scores in columns.values())
        lines.append(f"{row:<14}{first[row].n:>6}  {cells}")
    return "\n".join(line.rstrip() for line in lines)
