"""Measure how well a checkpoint's probabilities are calibrated, beside the uncalibrated ones.

Probabilities of three kinds: of each token of the true reports, of each finding that the model
reports, and of each finding that is asked for.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from data_prep.manifest import Study, manifest_hash, read_studies
from model.errors import DataError
from model.generator import ReportGenerator
from model.image_features import mahalanobis_distances
from model.loading import AnyNetwork
from model.questions import answer_line
from training.bootstrap import Bootstrap, Score, interval
from training.calibration.fit import (
    Observed,
    Tokens,
    calibrate,
    force,
    observe,
    save_fit,
    unseen,
)
from training.calibration.labeled import fold_checkpoints, labeled_studies
from training.calibration.presence import presence_table
from training.calibration.reliability import (
    Predictions,
    Reliability,
    reliability,
    reliability_table,
)
from training.files import require_writable, write_json
from training.provenance import learned_from, saw
from training.study_inputs import readable

__all__ = ["Measured", "measure", "measured_table", "run_calibration"]


@dataclass(frozen=True)
class Measured:
    model: str
    sha256: str
    """Of the weights."""
    data_sha256: str
    """Of the prepared folder's manifest."""
    studies: int
    before: Mapping[str, Reliability]
    """By kind of probability: at temperature 1; of findings in reports that of the
    clause, of those asked for the share of samples that say it."""
    after: Mapping[str, Reliability]
    """The same as the checkpoint gives them."""
    grounded_f1: Score
    """Of "the word speaks of a finding that is there", by the state of the true reports' words."""
    in_distribution: Score
    """Share of images that are within the novelty threshold."""


def run_calibration(
    folder: Path,
    data: Path | None,
    measure_on: Path | None,
    json_file: Path | None = None,
    labeled: Sequence[Path] = (),
    folds: Sequence[Path] = (),
) -> str:
    """Calibrate a checkpoint folder, measure it, or both; returns the tables to print.

    Args:
        data: prepared folder to fit on; None leaves the checkpoint as it is.
        labeled: prepared folders of labeled radiographs, see training.calibration.fit.calibrate.
        folds: checkpoints that each left out one fold of their patients, for cross-fitting.
        measure_on: prepared folder with studies that neither training nor fitting has seen.
        json_file: where to write the numbers too.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError: no folder, one without truth, or one that was fitted on.
    """
    if data is None and measure_on is None:
        raise DataError("nothing to do: name a prepared folder to fit on, --measure one, or both")
    if folds and not labeled:
        raise DataError(
            "--fold without --labels: name the labeled folders that they were trained on"
        )
    require_writable(json_file)
    generator = ReportGenerator.load(folder)
    tables, numbers = [], {}
    if data is not None:
        studies = unseen(_record(folder), data, generator.model.config.views)
        views = generator.model.config.views
        radiographs = labeled_studies(_record(folder), labeled, views)
        left_out = fold_checkpoints(folds, radiographs)
        fit = calibrate(generator, data, studies, radiographs, left_out)
        save_fit(generator, folder, data, fit, labeled)
        generator = ReportGenerator.load(folder)
        numbers["fit"] = asdict(fit)
        values = {name: value for name, value in vars(fit).items() if name != "presence"}
        lines = [f"    {name:<20}{_shown(value):>12}" for name, value in values.items()]
        tables.append("\n".join([f"{generator.identity.name} calibrated", *lines]))
        if fit.presence is not None:
            tables.append(presence_table(fit.presence))
    if measure_on is not None:
        measured = measure(
            generator,
            measure_on,
            _untouched(_record(folder), measure_on, generator.model.config.views),
        )
        numbers["measured"] = asdict(measured)
        tables.append(measured_table(measured))
    if json_file is not None:
        write_json(json_file, numbers)
    return "\n\n".join(tables)


def _shown(value: float | list[str] | None) -> str:
    if value is None:
        return "-"
    return ", ".join(value) if isinstance(value, list) else f"{value:.6g}"


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return record


def _untouched(record: dict[str, Any], folder: Path, views: Collection[str]) -> list[Study]:
    """The studies that neither the weights nor what was fitted afterwards has seen."""
    learned = learned_from(record, folder)
    if not learned and saw({"data": record.get("calibration", {}).get("data")}, folder):
        raise DataError(
            f"{str(folder)!r} is what the checkpoint was calibrated on, or of the same seed: "
            "measure on phantoms of another seed"
        )
    studies = list(readable(read_studies(folder, "test" if learned else None), views))
    if not any(study.findings for study in studies):
        raise DataError(f"no study to measure on in {str(folder)!r} has findings: prepare more")
    return studies


def measure(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> Measured:
    """Measure on studies of a prepared folder, all of them unseen."""
    model = generator.model
    assert isinstance(model, AnyNetwork)
    count, config = len(studies), model.config
    tokens = force(generator, data, studies)
    observed = observe(generator, data, studies)
    lines = np.array([answer_line(config, name) for name in observed.asked])
    asked = expit(lines[:, 0] * observed.asked_odds + lines[:, 1])
    before = {
        "token of a true report": _tokens(tokens, 1.0),
        "reported finding": _reported(observed, np.exp(observed.reported_log_probability)),
        "finding asked for": _asked(observed, expit(observed.asked_odds)),
    }
    after = {
        "token of a true report": _tokens(tokens, config.temperature),
        "finding asked for": _asked(observed, asked),
    }
    if config.finding_scale is not None:
        probability = expit(
            config.finding_scale * observed.reported_log_probability + config.finding_offset
        )
        after["reported finding"] = _reported(observed, probability)
    return Measured(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=manifest_hash(data),
        studies=count,
        before={name: reliability(predicted, count) for name, predicted in before.items()},
        after={name: reliability(predicted, count) for name, predicted in after.items()},
        grounded_f1=_grounded_f1(observed, config.grounded_share or 0.0, count),
        in_distribution=_in_distribution(model, observed.features),
    )


def _tokens(tokens: Tokens, temperature: float) -> Predictions:
    """The likeliest token's probability, and whether it is the one that is there."""
    best = (tokens.logits / temperature).softmax(-1).max(-1)
    right = (best.indices == tokens.labels).numpy()
    return Predictions(best.values.double().numpy(), right, tokens.study)


def _asked(observed: Observed, probability: np.ndarray) -> Predictions:
    rows = np.arange(len(probability)).repeat(probability.shape[1])
    return Predictions(probability.ravel(), observed.truth.ravel(), rows)


def _reported(observed: Observed, probability: np.ndarray) -> Predictions:
    return Predictions(probability, observed.reported_right, observed.reported_study)


def _grounded_f1(observed: Observed, share: float, studies: int) -> Score:
    called = observed.shares >= share

    def by_study(words: np.ndarray) -> np.ndarray:
        return np.bincount(observed.word_study, words, studies)

    right = by_study(called & observed.spoken)
    return Bootstrap(studies).ratio(2 * right, by_study(called) + by_study(observed.spoken))


def _in_distribution(model: AnyNetwork, features: np.ndarray) -> Score:
    limit = model.config.novelty_threshold
    away = mahalanobis_distances(
        torch.from_numpy(features).float(), model.feature_mean, model.feature_precision
    ).numpy()
    near = (away <= limit) | (limit == 0)
    return Bootstrap(len(near)).ratio(near, np.ones(len(near)))


def measured_table(measured: Measured) -> str:
    """Every reliability table, uncalibrated and calibrated, and the two thresholds' scores."""
    parts = [f"{measured.model} on {measured.studies} studies"]
    parts += [reliability_table(f"{n}, uncalibrated", r) for n, r in measured.before.items()]
    parts += [reliability_table(f"{n}, calibrated", r) for n, r in measured.after.items()]
    if "reported finding" not in measured.after:
        parts.append("no probability of a reported finding: none was fitted")
    parts.append(
        f"grounded words F1 {interval(measured.grounded_f1)}\n"
        f"images in distribution {interval(measured.in_distribution)}"
    )
    return "\n\n".join(parts)
