"""The settings of one training run: a TOML file, then `key=value` from the command line.

Every setting has a default but `data` and `output`. Unknown names, values of another type and
values out of range are errors, never ignored.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from data_prep.manifest import FINDINGS
from model.config import ReportConfig
from model.errors import ConfigError
from model.torch_network import SKIPPED_SHARE
from training.folds import Fold
from training.model_settings import ModelSettings, PretrainedModel, Settings, checked

__all__ = [
    "ENCODER_ALONE",
    "PARTS",
    "AugmentConfig",
    "DropConfig",
    "LoraConfig",
    "LossConfig",
    "OptimizerConfig",
    "Rates",
    "RewardConfig",
    "TrainConfig",
    "load_config",
    "require_search",
]

ENCODER_ALONE = tuple(
    f"losses.{name}=0"
    for name in ("tokens", "guidance", "sink", "search", "unlikelihood", "reward")
)
"""Overrides that leave only what the encoder is taught: which findings are where, and whether."""

Probability = Annotated[float, Field(ge=0, le=1)]


def _known_finding(name: str) -> str:
    if name not in FINDINGS:
        raise ConfigError(f"repeat.{name}: no such finding, they are {', '.join(FINDINGS)}")
    return name


def _fold(text: str) -> str:
    return str(Fold.parse(text)) if text else ""


class AugmentConfig(Settings):
    """How images are varied, masks along with them. Never a flip: it would swap left and right.

    Each number is a largest change, drawn uniformly from minus to plus; 0 turns it off.
    """

    rotate: NonNegativeFloat = 7.0
    """Degrees."""
    scale: Probability = 0.1
    """Share of the size."""
    translate: Probability = 0.04
    """Share of the side."""
    brightness: Probability = 0.12
    """Share of the full range, added."""
    contrast: Probability = 0.2
    """Share of the contrast."""
    gamma: Probability = 0.25
    """Share of the exponent 1."""
    noise: Probability = 0.03
    """Largest standard deviation, as a share of the full range."""
    blur: NonNegativeFloat = 0.8
    """Largest standard deviation, in pixels of the model's square."""


class DropConfig(Settings):
    """How often each part of a study is left out, so that the model can do without it.

    Probabilities. At least one image of the study itself stays, and what the report says of those
    left out is removed with them (training/partial_study.py). For occlusion see
    training/dataset/occlusion.py.
    """

    frontal: Probability = 0.05
    lateral: Probability = 0.3
    prior: Probability = 0.3
    indication: Probability = 0.3
    finding: Probability = 0.0
    """That the findings of one phrase are occluded with a gray rectangle. The report stays whole;
    losses.unlikelihood applies to the words of what is occluded."""


class Rates(Settings):
    """Factors of the learning rate by part of the network.

    Where `dependence` stays low in validation, the decoder writes what the text alone suggests:
    give it less, and the others more.
    """

    encoder: NonNegativeFloat = 1.0
    cross_attention: NonNegativeFloat = 1.0
    decoder: NonNegativeFloat = 1.0
    head: NonNegativeFloat = 1.0


PARTS = tuple(Rates.model_fields)
"""Of the network, that may learn at rates of their own."""


class OptimizerConfig(Settings):
    """AdamW with a linear warm-up and a cosine to zero."""

    learning_rate: PositiveFloat = 1e-3
    warm_up: NonNegativeInt = 300
    """Steps."""
    decay_steps: NonNegativeInt = 0
    """Step at which the cosine reaches zero; 0 is the last. A run on small images that another
    one continues stops on the way down."""
    weight_decay: NonNegativeFloat = 0.05
    """Of matrices only: not of norms, biases, embeddings."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    clip: PositiveFloat = 1.0
    """Largest norm of the gradient."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor by which each layer of the encoder learns slower than the one after it: 1 is not at
    all; 0.75 is usual where the encoder was pretrained."""
    rates: Rates = Rates()

    @model_validator(mode="after")
    def _decay_after_warm_up(self) -> "OptimizerConfig":
        if self.decay_steps and self.decay_steps <= self.warm_up:
            raise ConfigError(
                f"optimizer.decay_steps = {self.decay_steps}: it must come after the "
                f"{self.warm_up} steps of warm_up, or be 0"
            )
        return self


class LossConfig(Settings):
    """Weights of the losses; 0 turns one off."""

    tokens: NonNegativeFloat = 1.0
    """Cross-entropy of each token; 0 teaches the encoder alone (`crossray pretrain`)."""
    label_smoothing: Probability = 0.0
    answers: NonNegativeFloat = 0.0
    """Answers to questions such as "left pleural effusion:" (model/questions.py), which give the
    probability of a finding; where there are boxes, `guidance` of them too."""
    guidance: NonNegativeFloat = 0.3
    """How far the attention of a token is from the area of the finding it names."""
    sink: NonNegativeFloat = 0.1
    """How much a token that names no finding attends to the image."""
    search: NonNegativeFloat = 0.1
    """How far the first layers' attention of a token that leads up to a finding, or names it,
    is from the finding's area: the decision to name it is made there."""
    unlikelihood: NonNegativeFloat = 0.1
    """How probable a phrase is whose findings are all occluded, see drop.finding."""
    reward: NonNegativeFloat = 0.0
    """Self-critical learning from the model's own samples, see RewardConfig; for fine-tuning."""
    dense: NonNegativeFloat = 2.0
    """Which findings lie on which patch, read from the encoder by a head used in training only."""
    presence: NonNegativeFloat = 0.5
    """Which findings the study has, by the same head pooled over the patches."""


class LoraConfig(Settings):
    """Low-rank adapters (Hu et al. 2022) in a pretrained decoder; needs the extra `lora`.

    Its own weights then stay as they are, but for the cross-attention, which is new. What is
    exported has the adapters merged in.
    """

    rank: NonNegativeInt = 0
    """0 is none: all of the decoder learns."""
    alpha: PositiveFloat = 16.0
    """The adapters' output is multiplied by alpha / rank."""
    dropout: Probability = 0.0


class RewardConfig(Settings):
    """What a sampled report is worth, where losses.reward is above 0: training/self_critical.py."""

    samples: Annotated[int, Field(ge=2)] = 4
    """Of each study; the mean reward of the others is the baseline of each."""
    cider: NonNegativeFloat = 1.0
    """Weight of CIDEr-D over 10, against the study's own report."""
    findings: NonNegativeFloat = 1.0
    """Weight of the F1 of the findings, with their sides, that a sample asserts."""


class TrainConfig(Settings):
    """One run. Saved with its result in training.json."""

    data: str
    """A prepared folder, relative to the working directory."""
    output: str
    """Folder for `checkpoint/` (to use), `resume.safetensors` (to resume) and `tensorboard/`."""
    mix: dict[str, PositiveInt] = Field(default_factory=dict)
    """Other prepared folders, and how many of a step's studies come from each; the rest come from
    `data`. Each study is learned from as its own folder allows: phantoms have boxes for all that is
    there, radiographs have labels or a report."""
    fold: Annotated[str, AfterValidator(_fold)] = ""
    """For cross-fitting: "0/3" learns from two thirds of the patients of what was imported (not of
    phantoms, and never of a test split), and validates on the others. Empty: the folder's own
    splits."""
    store: str = ""
    """Folder of the memory-mapped images, written once; empty is `store` in the prepared folder."""
    initial: str | None = None
    """A checkpoint folder whose weights and tokenizer to start from; None trains from scratch."""
    pretrained: str = ""
    """What a new model's encoder starts with: "timm" for the weights that timm has of its names,
    from its hub or its cache; or a safetensors file of the transformer's, in timm's form. Empty
    draws random ones. An `initial`, a hub name and a folder bring their own."""
    seed: NonNegativeInt = 0
    steps: PositiveInt = 10_000
    batch: PositiveInt = 32
    """Studies a step."""
    accumulate: PositiveInt = 1
    """In how many parts a process computes its share of a step's studies, one after the other:
    memory of a part, gradient of the whole."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Validate and export a moving average of the weights with this decay, up to 0.9999; less in
    the first steps. 0 takes the weights as they are."""
    train_studies: NonNegativeInt = 0
    """Use only the first so many of the train split; 0 uses all."""
    validate_studies: PositiveInt = 256
    """The first so many of the validate split."""
    validate_every: PositiveInt = 500
    """Steps; the checkpoint is written then too."""
    save_every: PositiveInt = 250
    """Steps between snapshots, from which a stopped run resumes."""
    device: str = "auto"
    """"auto" takes CUDA where there is one; or what torch calls a device."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """"bf16" (autocast), "float32", or "auto": bf16 where the processor has instructions for it.
    Without them it is emulated, thirty times as slow."""
    threads: NonNegativeInt = 0
    """Of torch on the CPU; 0 leaves it to torch."""
    workers: NonNegativeInt = 1
    """Processes that make batches; 0 makes them in the training process."""
    augment: bool = True
    repeat: dict[Annotated[str, AfterValidator(_known_finding)], PositiveInt] = Field(
        default_factory=dict
    )
    """How often an epoch has the studies with a finding whose place is known, by its name; once
    where nothing is said. What is hard is learned sooner, at the price of being reported more
    readily than it occurs."""
    denials: bool = False
    """What the report denies has places too, where the prepared folder names them (`prepare phantom
    --places`): guidance, search and occlusion apply to its words as to those of findings."""
    image_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of studies whose text is read without the image: the decoder then learns what the
    text alone suggests, the language prior that a word's evidence is measured against."""
    model: ModelSettings = Field(default_factory=ReportConfig)
    """The network: CrossRay's own by the names of model_settings.SHAPE, see model/config.py; or,
    where it has a `decoder`, pretrained parts, see PretrainedModel."""
    lora: LoraConfig = LoraConfig()
    augmentation: AugmentConfig = AugmentConfig()
    drop: DropConfig = DropConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    losses: LossConfig = LossConfig()
    reward: RewardConfig = RewardConfig()

    @model_validator(mode="after")
    def _works_together(self) -> "TrainConfig":
        if isinstance(self.model, PretrainedModel):
            self._check_pretrained_model(self.model)
        else:
            require_search(self, self.model.layers)
            if self.lora.rank:
                raise ConfigError(
                    f"lora.rank = {self.lora.rank} is for a pretrained decoder: set model.decoder, "
                    "or lora.rank = 0"
                )
        if (mixed := sum(self.mix.values())) >= self.batch:
            raise ConfigError(
                f"mix = {self.mix} takes {mixed} studies of batch = {self.batch}: leave some for "
                "`data`"
            )
        if self.pretrained and self.initial is not None:
            raise ConfigError(
                f"pretrained = {self.pretrained!r} beside initial = {self.initial!r}, which brings "
                "its own weights: leave one out"
            )
        return self

    def _check_pretrained_model(self, model: PretrainedModel) -> None:
        if self.losses.answers:
            raise ConfigError(
                f"losses.answers = {self.losses.answers} needs CrossRay's own decoder, and "
                f"model.decoder = {model.decoder!r} is another: set losses.answers = 0"
            )
        if not self.losses.tokens and not self.losses.reward:
            raise ConfigError(
                f"losses.tokens = 0 teaches the encoder alone, and model.decoder = "
                f"{model.decoder!r} is to learn to read it: leave losses.tokens as it is"
            )

    def changed(self, **changes: Any) -> "TrainConfig":
        """A copy with some settings replaced, checked like any other."""
        return TrainConfig.model_validate({**dict(self), **changes})


def require_search(config: TrainConfig, layers: int) -> None:
    """Raises: ConfigError: losses.search where the decoder's layers have no first third."""
    if config.losses.search and not int(layers * SKIPPED_SHARE):
        raise ConfigError(
            f"losses.search = {config.losses.search} applies to the first third of the decoder's "
            f"layers, and a decoder of {layers} has none: give it 3 layers, or set "
            "losses.search = 0"
        )


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A TOML file and `key=value` overrides -> TrainConfig.

    Args:
        path: the file. A key in a table is written `table.key` in an override.
        overrides: such as "steps=500" or "losses.guidance=0"; the value is TOML, or, where it
            is none, plain text.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, a value of the wrong type or range.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings {str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not TOML: {error}") from error
    for override in overrides:
        _override(settings, override)
    return checked(TrainConfig, settings, "")


def _override(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: write it as key=value, such as steps=500")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a path or a word without quotes
    *tables, name = key.split(".")
    for table in tables:
        settings = settings.setdefault(table, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"override {override!r}: {table!r} is not a table")
    settings[name] = value
