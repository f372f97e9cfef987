"""One training run's settings: a TOML file, then `key=value` from the command line.

Every setting has a default but `data` and `output`. Unknown names and values of the wrong type
are errors, never ignored.
"""

import tomllib
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from data_prep.manifest import FINDINGS
from model.errors import ConfigError
from model.heatmap import SKIPPED_SHARE

__all__ = [
    "ENCODER_ALONE",
    "PARTS",
    "AugmentConfig",
    "DropConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RewardConfig",
    "TrainConfig",
    "load_config",
]


PARTS = ("encoder", "cross_attention", "decoder", "head")
"""Of the net, that may learn at rates of their own."""


ENCODER_ALONE = tuple(
    f"losses.{name}=0" for name in ("tokens", "guidance", "sink", "search", "unlikely", "reward")
)
"""Overrides that leave only what the encoder is taught: which findings are where, and there."""


@dataclass(frozen=True)
class ModelConfig:
    """The net's shape; see model.network.ReportConfig, which these become."""

    name: str = "crossray"
    notice: str = "Research software, not for diagnosis."
    encoder: str = "vit_tiny_patch16_224"
    encoder_arguments: dict[str, Any] = field(default_factory=dict)
    stem: str | None = None
    stem_stride: int = 16
    fine_stride: int | None = None
    image_size: int = 224
    width: int = 192
    layers: int = 3
    heads: int = 3
    mlp_ratio: float = 4.0
    dropout: float = 0.1
    max_tokens: int = 160
    views: list[str] = field(default_factory=lambda: ["frontal"])
    """Which images of a study are read: "frontal", "lateral", "prior"."""
    prompt_tokens: int = 0
    """Longest indication in tokens; 0 reads none."""


@dataclass(frozen=True)
class AugmentConfig:
    """How images are varied, masks along with them. Never a flip: it would swap left and right.

    Each number is a largest change, drawn evenly from minus to plus; 0 turns it off.
    """

    rotate: float = 7.0
    """Degrees."""
    scale: float = 0.1
    """Share of the size."""
    translate: float = 0.04
    """Share of the side."""
    brightness: float = 0.12
    """Share of the full range, added."""
    contrast: float = 0.2
    """Share of the contrast."""
    gamma: float = 0.25
    """Share of the exponent 1."""
    noise: float = 0.03
    """Largest standard deviation, as a share of the full range."""
    blur: float = 0.8
    """Largest standard deviation, in pixels of the model's square."""


@dataclass(frozen=True)
class DropConfig:
    """How often each part of a study is left out, so that the model can do without.

    Chances in [0, 1]. At least one image of the study itself stays, and what the report says of
    those left out goes with them (training/dataset/targets.py). For what is covered see
    training/dataset/occlusion.py.
    """

    frontal: float = 0.05
    lateral: float = 0.3
    prior: float = 0.3
    indication: float = 0.3
    finding: float = 0.0
    """Of the studies: that something a phrase speaks of is covered with a gray rectangle. The
    report stays whole; losses.unlikely is told to the words of what is hidden."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a cosine to zero."""

    learning_rate: float = 1e-3
    warm_up: int = 300
    """Steps."""
    decay_steps: int = 0
    """Step at which the cosine reaches zero; 0 is the last. A run on small images that another
    goes on from stops on the way down."""
    weight_decay: float = 0.05
    """Of matrices only: not of norms, biases, embeddings."""
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0
    """Largest norm of the gradient."""
    layer_decay: float = 1.0
    """By how much each layer of the encoder learns slower than the one after it: 1 is not at all;
    0.75 is usual where the encoder was pretrained."""
    rates: dict[str, float] = field(default_factory=dict)
    """Shares of the learning rate, by part: encoder, cross_attention, decoder, head; 1 where
    nothing is said. Where `dependence` stays low in validation, the decoder writes what the text
    alone suggests: give it less, and the others more."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"optimizer.{name} = {getattr(self, name)}: it is above 0")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(
                f"optimizer.layer_decay = {self.layer_decay}: it is more than 0 and at most 1"
            )
        for name, rate in self.rates.items():
            if name not in PARTS:
                raise ConfigError(f"optimizer.rates.{name}: no part, they are {', '.join(PARTS)}")
            if type(rate) not in (int, float) or rate < 0:
                raise ConfigError(f"optimizer.rates.{name} = {rate!r}: it is a share, from 0")
        if self.warm_up < 0:
            raise ConfigError(f"optimizer.warm_up = {self.warm_up}: it may not be negative")
        if self.decay_steps and self.decay_steps <= self.warm_up:
            raise ConfigError(
                f"optimizer.decay_steps = {self.decay_steps}: it must come after the "
                f"{self.warm_up} steps of warm_up, or be 0"
            )


@dataclass(frozen=True)
class LossConfig:
    """What the losses weigh; 0 turns one off."""

    tokens: float = 1.0
    """Cross-entropy of each token; 0 teaches the encoder alone (`crossray pretrain`)."""
    label_smoothing: float = 0.0
    guidance: float = 0.3
    """How far the attention of a token is from the area of the finding it speaks of."""
    sink: float = 0.1
    """How much a token that speaks of no finding looks at the image."""
    search: float = 0.1
    """How far the first layers' attention of a token that leads up to a finding, or speaks of it,
    is from the finding's area: the decision to speak of it is made there."""
    unlikely: float = 0.1
    """How probable a phrase is whose findings are all hidden, see drop.finding."""
    reward: float = 0.0
    """Self-critical learning from the model's own drafts, see RewardConfig; for fine-tuning."""
    dense: float = 2.0
    """Which findings lie on which patch, read from the encoder by a head used in training only."""
    presence: float = 0.5
    """Which findings the study has, by the same head pooled over the patches."""


@dataclass(frozen=True)
class RewardConfig:
    """What a draft is worth (training/self_critical.py), where losses.reward is above 0."""

    drafts: int = 4
    """Of each study; one is as good as it is better than the mean of the others."""
    cider: float = 1.0
    """Weight of CIDEr-D over 10, against the study's own report."""
    findings: float = 1.0
    """Weight of the F1 of the findings, with their sides, that a draft asserts."""

    def __post_init__(self) -> None:
        for name in ("cider", "findings"):
            if getattr(self, name) < 0:
                raise ConfigError(f"reward.{name} = {getattr(self, name)}: it may not be negative")
        if self.drafts < 2:
            raise ConfigError(
                f"reward.drafts = {self.drafts}: a draft needs others, give 2 or more"
            )


@dataclass(frozen=True)
class TrainConfig:
    """One run. Saved with its result in training.json."""

    data: str
    """A prepared folder, relative to the working directory."""
    output: str
    """Folder for `checkpoint/` (to use), `resume.safetensors` (to go on) and `tensorboard/`."""
    initial: str | None = None
    """A checkpoint folder whose weights and tokenizer to start from; None starts from nothing."""
    pretrained: str = ""
    """What a new model's encoder starts with: "timm" for the weights that timm has of its names,
    from its hub or its cache; or a safetensors file of the transformer's, in timm's form. Empty
    draws them. An `initial` brings its own."""
    seed: int = 0
    steps: int = 10_000
    batch: int = 32
    """Studies a step."""
    accumulate: int = 1
    """In how many parts a process computes its share of a step's studies, one after the other:
    memory of a part, gradient of the whole."""
    ema: float = 0.0
    """Validate and export a moving average of the weights with this decay, up to 0.9999; less in
    the first steps. 0 takes the weights as they are."""
    train_studies: int = 0
    """Use only the first so many of the train split; 0 uses all."""
    validate_studies: int = 256
    """The first so many of the validate split."""
    validate_every: int = 500
    """Steps; the checkpoint is written then too."""
    save_every: int = 250
    """Steps between savings of what a resumed run needs."""
    device: str = "auto"
    """"auto" takes CUDA where there is one; or what torch calls a device."""
    precision: str = "auto"
    """"bf16" (autocast), "float32", or "auto": bf16 where the processor has instructions for it.
    Without them it is emulated, thirty times as slow."""
    threads: int = 0
    """Of torch on the CPU; 0 leaves it to torch."""
    workers: int = 1
    """Processes that make batches; 0 makes them in the training process."""
    augment: bool = True
    repeat: dict[str, int] = field(default_factory=dict)
    """How often an epoch sees the studies with a finding, by its name; once where nothing is said.
    What is hard is learnt sooner, at the price of being said more readily than it occurs."""
    image_dropout: float = 0.1
    """Share of studies whose text is read without the image: the decoder then learns what the
    text alone suggests, which is what a word's evidence is measured against."""
    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    drop: DropConfig = field(default_factory=DropConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch",
            "accumulate",
            "validate_studies",
            "validate_every",
            "save_every",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: it starts at 1")
        for name in ("threads", "workers", "train_studies", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: it may not be negative")
        if self.losses.search and not int(self.model.layers * SKIPPED_SHARE):
            raise ConfigError(
                f"losses.search = {self.losses.search} is told to the first third of the "
                f"decoder's layers, and model.layers = {self.model.layers} has none: give it 3 "
                "layers, or set losses.search = 0"
            )
        for name, weight in vars(self.losses).items():
            if weight < 0:
                raise ConfigError(f"losses.{name} = {weight}: it may not be negative")
        for name, times in self.repeat.items():
            if name not in FINDINGS:
                raise ConfigError(f"repeat.{name}: no finding, they are {', '.join(FINDINGS)}")
            if type(times) is not int or times < 1:
                raise ConfigError(f"repeat.{name} = {times!r}: it is a number of times, from 1")
        for name, chance in vars(self.drop).items():
            if not 0 <= chance <= 1:
                raise ConfigError(f"drop.{name} = {chance}: it is a chance, from 0 to 1")
        if self.pretrained and self.initial is not None:
            raise ConfigError(
                f"pretrained = {self.pretrained!r} beside initial = {self.initial!r}, which brings "
                "its own weights: leave one out"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema = {self.ema}: it is a decay, from 0 to less than 1")
        if not 0 <= self.image_dropout < 1:
            raise ConfigError(
                f"image_dropout = {self.image_dropout}: it is a share, from 0 to less than 1"
            )
        if self.precision not in ("auto", "bf16", "float32"):
            raise ConfigError(f"precision = {self.precision!r}: choose 'auto', 'bf16' or 'float32'")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A TOML file and `key=value` overrides -> TrainConfig.

    Args:
        path: the file. A key in a table is written `table.key` in an override.
        overrides: such as "steps=500" or "losses.guidance=0"; the value is TOML, or, where it
            is none, plain text.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, a value of the wrong type.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings {str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is not TOML: {error}") from error
    for override in overrides:
        _override(settings, override)
    return _build(TrainConfig, settings, "")


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


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    """A table of TOML -> the dataclass `kind`; `prefix` is the table's name, for messages."""
    hints = get_type_hints(kind)
    if unknown := values.keys() - hints.keys():
        known = ", ".join(sorted(hints))
        raise ConfigError(f"unknown setting {prefix + min(unknown)!r}: {kind.__name__} has {known}")
    for item in fields(kind):
        needed = item.default is MISSING and item.default_factory is MISSING
        if needed and item.name not in values:
            raise ConfigError(f"setting {prefix + item.name!r} is missing: it has no default")
    return kind(**{name: _value(hints[name], v, prefix + name) for name, v in values.items()})


def _value(hint: Any, value: Any, key: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return _build(hint, value, f"{key}.")
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [get_origin(kind) or kind for kind in allowed]
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:  # not isinstance: true is no number of steps
        wanted = " or ".join(k.__name__ for k in kinds if k is not types.NoneType)
        raise ConfigError(f"setting {key!r} = {value!r}: expected {wanted}")
    return value
