"""Laws of calibration: told probabilities hold, familiar is near, and no word changes.

On a tiny real model and a tiny prepared folder.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_folder import SIZE, write_prepared
from scipy.special import expit
from tiny import tiny_images, tiny_model, tiny_tokenizer
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from data_prep.manifest import read_studies
from model.checkpoint import load_checkpoint, save_checkpoint
from model.decoding import decode
from model.errors import DataError
from model.generator import ReportGenerator
from model.image_features import image_features
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from model.network import ReportModel
from model.novelty import novelty_warnings
from training.calibration.command import run_calibration
from training.calibration.estimators import (
    CLOSE,
    IN_DISTRIBUTION_SHARE,
    fit_novelty,
    fit_platt,
    fit_share,
    fit_temperature,
)
from training.calibration.fit import Observed, calibrate, observe, unseen
from training.calibration.reliability import BINS, Predictions, reliability, reliability_table

CASES = 20_000


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared") / "data", studies=32)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other studies than `prepared`'s, in other words."""
    return write_prepared(tmp_path_factory.mktemp("other") / "data", studies=24)


@pytest.fixture(scope="module")
def uncalibrated(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was not trained at all; its probabilities are far from calibrated."""
    tokenizer = Tokenizer.from_file(str(prepared / "tokenizer.json"))
    model = tiny_model(1, image_size=SIZE, vocab_size=tokenizer.get_vocab_size(), max_tokens=48)
    folder = tmp_path_factory.mktemp("uncalibrated") / "checkpoint"
    save_checkpoint(folder, model, tokenizer, {"step": 0}, "# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def calibrated(
    uncalibrated: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "checkpoint"
    shutil.copytree(uncalibrated, folder)
    run_calibration(folder, prepared, None)
    return folder


def predicted(probability: np.ndarray, chance: np.ndarray) -> Predictions:
    """Outcomes that come true with `chance`, told with `probability`, each of its own study."""
    rng = np.random.default_rng(5)
    return Predictions(probability, rng.random(len(chance)) < chance, np.arange(len(chance)) % 500)


def test_probabilities_that_hold_have_an_error_near_0() -> None:
    chance = np.random.default_rng(0).random(CASES)
    measured = reliability(predicted(chance, chance), 500)
    assert measured.error.value is not None and measured.by_chance is not None
    assert measured.error.value < 0.02
    # As large as so many cases give by chance, and no larger.
    assert measured.error.value == pytest.approx(measured.by_chance, abs=0.006)
    assert len(measured.bins) == BINS
    for each in measured.bins:
        assert each.right.value == pytest.approx(each.predicted, abs=0.06)


def test_the_error_of_shifted_probabilities_is_the_shift() -> None:
    chance = np.random.default_rng(0).random(CASES) * 0.8
    measured = reliability(predicted(chance + 0.2, chance), 500)
    assert measured.error.value == pytest.approx(0.2, abs=0.01)
    low, high = measured.error.low, measured.error.high
    assert low is not None and high is not None and low < 0.2 < high


def test_the_error_is_the_mean_over_cases_not_over_bins() -> None:
    # 90 of 100 cases hold exactly, the other ten are told 0.5 too high.
    probability = np.array([0.9] * 90 + [0.52] * 10)
    right = np.array([True] * 81 + [False] * 19)
    measured = reliability(Predictions(probability, right, np.arange(100)), 100)
    assert measured.error.value == pytest.approx(0.1 * 0.52)


def test_a_table_of_nothing_says_so() -> None:
    empty = Predictions(np.empty(0), np.empty(0, bool), np.empty(0, int))
    measured = reliability(empty, 3)
    assert measured.error.value is None and measured.bins == ()
    assert reliability_table("nothing", measured).endswith("-")


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_at_is_found(true_temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(CASES, 9, generator=generator) * 3
    chances = (logits / true_temperature).softmax(-1)
    labels = torch.multinomial(chances, 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(true_temperature, rel=0.05)


def test_a_fitted_temperature_never_raises_the_loss() -> None:
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(50, 7, generator=generator) * (1 + seed)
        labels = torch.randint(7, (50,), generator=generator)
        fitted = fit_temperature(logits, labels)
        assert cross_entropy(logits / fitted, labels) <= cross_entropy(logits, labels) + 1e-6


def test_the_share_that_tells_best_is_found_by_trying_them_all() -> None:
    rng = np.random.default_rng(1)
    spoken = rng.random(200) < 0.3
    # Rounded, so that words share a share.
    shares = np.clip(rng.normal(0.3 + 0.4 * spoken, 0.2), 0, 1).round(2)
    threshold, f1 = fit_share(shares, spoken)

    def score(at: float) -> float:
        called = shares >= at
        return 2 * (called & spoken).sum() / (called.sum() + spoken.sum())

    assert score(threshold) == pytest.approx(f1)
    reached = {at: score(at) for at in np.unique(shares)}
    enough = max(reached.values()) - CLOSE
    assert f1 >= enough
    assert all(reached[at] < enough for at in reached if at < threshold)
    assert threshold not in shares


@pytest.mark.parametrize("spoken", [np.zeros(4, bool), np.ones(4, bool)])
def test_a_threshold_needs_words_of_both_kinds(spoken: np.ndarray) -> None:
    with pytest.raises(DataError, match=f"{spoken.sum()} of 4 words"):
        fit_share(np.linspace(0, 1, 4), spoken)


def test_platts_scale_and_offset_are_found() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 4, (CASES // 10, 10))
    there = rng.random(scores.shape) < expit(0.7 * scores - 1.5)
    assert fit_platt(scores, there) == pytest.approx((0.7, -1.5), rel=0.05)


def test_evidence_without_overlap_gives_no_certainty() -> None:
    scale, offset = fit_platt(np.array([-2.0, -1, 1, 2]), np.array([False, False, True, True]))
    chance = expit(scale * np.array([-2.0, -1, 1, 2]) + offset)
    # Platt: of two cases the chance is 3 in 4.
    assert chance[-1] == pytest.approx(0.75, abs=0.08) and chance[0] < 0.3


def test_familiar_covers_the_share_it_says_of_images_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(24, 24))
    known, new = (rng.normal(size=(count, 24)) @ mixing for count in (400, 4000))
    familiar = fit_novelty(known)
    away = new - familiar.mean
    distance = np.sqrt(np.einsum("ni,ij,nj->n", away, familiar.precision, away))
    assert (distance <= familiar.limit).mean() == pytest.approx(IN_DISTRIBUTION_SHARE, abs=0.015)


def test_fewer_images_than_features_still_have_a_precision() -> None:
    features = np.random.default_rng(4).normal(size=(12, 30)) * np.linspace(0.1, 5, 30)
    precision = fit_novelty(features).precision
    assert np.linalg.eigvalsh(precision).min() > 0


def test_known_images_are_nearer_than_noise(calibrated: Path, prepared: Path) -> None:
    generator = ReportGenerator.load(calibrated)
    known = [read_image(prepared / s.images[0].path) for s in read_studies(prepared)]
    rng = np.random.default_rng(0)
    noise = Radiograph((rng.random((SIZE, SIZE)) > 0.5).astype(np.float32), None)
    near, far = (_distances(generator.model, some) for some in (known, [noise]))
    assert max(near) < min(far)
    assert np.mean(np.array(near) <= generator.model.config.novelty_threshold) >= 0.9
    generator.model.config.novelty_threshold = (max(near) + min(far)) / 2
    told = generator.reports([[known[0]], [noise]], input_check=False)
    codes = [{c.code for c in report.warnings[0]} for report in told]
    assert "out_of_distribution" not in codes[0] and "out_of_distribution" in codes[1]
    (warning,) = [c for c in told[1].warnings[0] if c.code == "out_of_distribution"]
    assert not warning.refuses
    assert not any(letter.isdigit() for letter in warning.message)
    assert told[1].withheld is not None and "input check" in told[1].withheld


def _distances(model: ReportModel, images: list[Radiograph]) -> list[float]:
    squares = torch.stack([torch.from_numpy(p.pixels).float()[None, None] * 2 - 1 for p in images])
    with torch.inference_mode():
        return model.novelty_distances(model.encode(squares))[:, 0].tolist()


def test_a_image_is_as_far_alone_as_beside_others() -> None:
    model = tiny_model(2)
    model.feature_precision.copy_(torch.eye(32))
    model.config.novelty_threshold = 1e-3
    images = tiny_images(0, 2, 2)
    mask = torch.tensor([[True, True], [True, False]])
    with torch.inference_mode():
        together = image_features(model.encode(images, mask), model.prefix, model.grid)
        alone = image_features(model.encode(images[:1, 1:]), model.prefix, model.grid)
        told = novelty_warnings(model, model.encode(images, mask))
    torch.testing.assert_close(together[0, 1], alone[0, 0])
    assert together[1, 1].isnan().all() and not together[1, 0].isnan().any()
    assert [len(study) for study in told] == [2, 1]
    assert all(warning is not None for study in told for warning in study)


def test_nothing_is_unfamiliar_where_nothing_was_fitted() -> None:
    model = tiny_model(2)
    with torch.inference_mode():
        assert novelty_warnings(model, model.encode(tiny_images(0, 1))) == [(None,)]


def test_no_word_of_any_report_changes(
    uncalibrated: Path, calibrated: Path, prepared: Path
) -> None:
    before, after = ReportGenerator.load(uncalibrated), ReportGenerator.load(calibrated)
    assert after.model.config.temperature != before.model.config.temperature == 1
    images = [read_image(prepared / s.images[0].path) for s in read_studies(prepared)][:4]
    texts = [
        [r.text for r in g.reports([[p] for p in images], input_check=False)]
        for g in (before, after)
    ]
    assert texts[0] == texts[1]


def test_calibrated_saved_and_loaded_tells_the_same(
    uncalibrated: Path, calibrated: Path, prepared: Path
) -> None:
    generator = ReportGenerator.load(uncalibrated)
    calibrate(generator, prepared, unseen({}, prepared, ["frontal"]))
    again = ReportGenerator.load(calibrated)
    image = read_image(prepared / next(read_studies(prepared)).images[0].path)
    told = [g(image, input_check=False) for g in (generator, again)]
    assert [w.probability for w in told[0].words] == [w.probability for w in told[1].words]
    answers = [g.ask(image, "opacity", input_check=False) for g in (generator, again)]
    assert answers[0].probability == answers[1].probability
    assert torch.equal(generator.model.feature_precision, again.model.feature_precision)


def test_transformers_samples_at_its_own_temperature() -> None:
    model = tiny_model(0, temperature=2.5)
    assert model.config.temperature == 2.5
    assert model.generation_config is not None
    assert model.generation_config.temperature in (None, 1)


def test_the_record_says_what_was_fitted_and_on_what(calibrated: Path, prepared: Path) -> None:
    record = json.loads((calibrated / "training.json").read_text())
    note = json.loads((prepared / "prepared.json").read_text())
    assert record["step"] == 0
    fitted = record["calibration"]
    assert fitted["data"] == note
    assert fitted["studies"] == fitted["images"] == 40
    config = json.loads((calibrated / "config.json").read_text())
    names = ("temperature", "grounded_share", "ask_scale", "ask_offset", "finding_scale")
    assert all(fitted[name] == config[name] for name in names)
    assert (calibrated / "README.md").read_text() == "# Tiny\n"


def test_studies_trained_on_are_not_fitted_on(prepared: Path) -> None:
    note = json.loads((prepared / "prepared.json").read_text())
    assert len(unseen({}, prepared, ["frontal"])) == 40
    with pytest.raises(DataError, match="8 studies"):
        unseen({"data": note}, prepared, ["frontal"])  # the validate split alone


def test_what_was_fitted_on_is_not_measured_on(calibrated: Path, prepared: Path) -> None:
    with pytest.raises(DataError, match="calibrated on"):
        run_calibration(calibrated, None, prepared)
    with pytest.raises(DataError, match="nothing to do"):
        run_calibration(calibrated, None, None)


def test_a_calibrated_checkpoint_is_measured_and_left_as_it_is(
    calibrated: Path, other: Path, tmp_path: Path
) -> None:
    sums = (calibrated / "SHA256SUMS").read_bytes()
    file = tmp_path / "calibration.json"
    printed = run_calibration(calibrated, None, other, file)
    assert (calibrated / "SHA256SUMS").read_bytes() == sums
    numbers = json.loads(file.read_text())
    assert "fit" not in numbers
    measured = numbers["measured"]
    kinds = ("token of a true report", "reported finding", "finding asked for")
    assert all(name in measured["before"] and name in printed for name in kinds)
    assert set(measured["after"]) == {"token of a true report", "finding asked for"}
    # An untrained model is sure and wrong; told at its temperature it no longer is.
    error = {
        k: measured[k]["token of a true report"]["error"]["value"] for k in ("before", "after")
    }
    assert error["after"] < error["before"] / 2
    asked = {k: measured[k]["finding asked for"]["error"] for k in ("before", "after")}
    assert asked["after"]["value"] < asked["before"]["value"] / 2
    assert asked["after"]["n"] == 30


def test_weights_written_before_anything_was_fitted_load_as_not_fitted(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(0, vocab_size=tokenizer.get_vocab_size())
    state = model.state_dict()
    for name in ("feature_mean", "feature_precision"):
        del state[name]
    model.load_state_dict(state)
    assert not model.feature_mean.any() and not model.feature_precision.any()
    save_checkpoint(tmp_path, model, tokenizer, {}, "")
    again, _, _ = load_checkpoint(tmp_path)
    memory = model.encode(tiny_images(0, 1))
    assert decode(again, memory) == decode(model, memory)


def test_the_chance_of_a_finding_is_told_where_it_was_fitted_and_nowhere_else(
    uncalibrated: Path,
    prepared: Path,
    other: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tiny model names no finding, so one that does is made of it."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(uncalibrated, folder)
    silent = run_calibration(folder, prepared, other)
    assert "no probability of a reported finding: none was fitted" in silent
    with monkeypatch.context() as patched:
        for module in ("fit", "command"):
            patched.setattr(f"training.calibration.{module}.observe", _with_findings)
        told = run_calibration(folder, prepared, other)
    assert "reported finding, calibrated" in told
    assert load_checkpoint(folder)[0].config.finding_scale > 0
    # What an earlier fit left behind is not kept as if it had been fitted now.
    run_calibration(folder, prepared, None)
    assert load_checkpoint(folder)[0].config.finding_scale is None


def _with_findings(*arguments: Any) -> Observed:
    return replace(
        observe(*arguments),
        reported_log_probability=np.array([-0.1, -0.3, -2.0, -3.0]),
        reported_right=np.array([True, True, False, False]),
        reported_study=np.arange(4),
    )
