"""Rewards are what they say, and what earns more than its like becomes likelier."""

from pathlib import Path

import pytest
import torch
from prepared_folder import write_prepared, write_settings

from model.decoding import DecodingOptions, sample_texts
from model.errors import ConfigError
from training.config import RewardConfig, TrainConfig, load_config
from training.self_critical import SelfCritical
from training.train import Training

REPORTS = (
    "Findings: There is a left opacity.",
    "Findings: There is a right opacity.",
    "Findings: The lungs are clear.",
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("critical")
    return write_settings(folder, write_prepared(folder / "blobs"))


def config(settings: Path, output: str, *overrides: str) -> TrainConfig:
    return load_config(settings, [f"output={settings.parent / output}", *overrides])


@pytest.mark.parametrize("report", REPORTS)
def test_the_report_itself_is_worth_most(settings: Path, report: str) -> None:
    tokenizer = Training(config(settings, "worth", "steps=1")).setup.tokenizer
    critic = SelfCritical(tokenizer, REPORTS, RewardConfig())
    rewards = dict(zip(REPORTS, critic.rewards(report, REPORTS), strict=True))
    assert rewards[report] == pytest.approx(2)
    assert max(value for text, value in rewards.items() if text != report) < 1


def test_each_weight_is_of_its_own_part(settings: Path) -> None:
    tokenizer = Training(config(settings, "worth", "steps=1")).setup.tokenizer
    words, findings = (
        SelfCritical(tokenizer, REPORTS, RewardConfig(cider=c, findings=f))
        for c, f in ((1.0, 0.0), (0.0, 1.0))
    )
    other = "Opacity on the left."  # the same said with other words
    assert findings.rewards(REPORTS[0], [other]) == [1.0]
    assert words.rewards(REPORTS[0], [other])[0] < 0.3
    assert findings.rewards(REPORTS[2], ["Nothing to see."]) == [1.0]


def test_a_run_with_it_tells_its_reward_and_repeats(settings: Path) -> None:
    asked = ("steps=3", "losses.reward=1")
    told = [step["sample_reward"] for step in Training(config(settings, "one", *asked)).steps()]
    again = [step["sample_reward"] for step in Training(config(settings, "two", *asked)).steps()]
    assert told == again and len(set(told)) > 1


def test_drafts_get_better_by_it_alone(settings: Path) -> None:
    """From a model that knows the words and hardly the sides, with no other loss."""
    plain = ("augment=false", "batch=16", "save_every=1000", "validate_every=100", "steps=100")
    training = Training(config(settings, "words", *plain))
    list(training.steps())
    model, batch = training.setup.model, training.setup.train_batches[0, 0]
    model.eval()
    critic = SelfCritical(training.setup.tokenizer, REPORTS, RewardConfig(samples=8))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    counts, told = torch.ones(len(batch.tokens), dtype=torch.bool), []
    for step in range(60):
        torch.manual_seed(step)
        optimizer.zero_grad()
        critic(model, batch.read_by(model), batch.tokens, counts).backward()
        optimizer.step()
        told.append(critic.reward)
    assert sum(told[-5:]) / 5 > sum(told[:5]) / 5 + 0.3


def test_the_loss_raises_what_earned_more_and_lowers_the_rest(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(config(settings, "raise", "augment=false"))
    training.setup.objective.eval()
    batch = training.setup.train_batches[0, 0]
    critic = SelfCritical(training.setup.tokenizer, REPORTS, RewardConfig(samples=2))
    critic.rewards = lambda report, texts: [1.0, 0.0]  # the first draft is the better one
    memory = batch.read_by(training.setup.model)
    counts = torch.ones(len(batch.tokens), dtype=torch.bool)
    model = training.setup.model
    same = sample_texts(model, memory, 2, DecodingOptions("sample"), independent=True)
    monkeypatch.setattr("training.self_critical.sample_texts", lambda *_, **__: same)
    loss = critic(training.setup.model, memory, batch.tokens, counts)
    # advantages are +1 and -1: the loss is the difference of the drafts' log-probabilities.
    loss.backward()
    with torch.no_grad():
        for parameter in training.setup.objective.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    again = critic(training.setup.model, batch.read_by(training.setup.model), batch.tokens, counts)
    assert again < loss
    nothing = critic(training.setup.model, memory, batch.tokens, torch.zeros_like(counts))
    assert float(nothing.detach()) == 0


def test_one_draft_has_nothing_to_be_better_than(settings: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"reward.samples. = 1: expected greater than or equal to 2"
    ):
        config(settings, "x", "reward.samples=1")
