"""What an imported checkpoint is, as values; config.json of the folder it is exported to.

Needs no PyTorch, which another engine may not have loaded.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from model.errors import CheckpointError
from model.imported.processing import Processing
from model.vision_values import VISION_TYPES, grid_of, prefix_of

__all__ = [
    "DECODERS",
    "ENCODERS",
    "LANGUAGE_MODELS",
    "MODEL_TYPE",
    "NOT_CALIBRATED",
    "TIMM",
    "TOWERS",
    "Connector",
    "ImportedConfig",
]

MODEL_TYPE = "crossray-imported"

ENCODERS = VISION_TYPES
"""model_type of the encoders that are read. CvT with the projection of the CXRMate family."""
TIMM = "timm"
"""model_type of timm's encoders (timm_encoder.py); transformers has none for them."""
DECODERS = ("gpt2", "bert", "roberta")
TOWERS = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""model_type of the vision towers of decoder-only models; class tokens before their patches."""
LANGUAGE_MODELS = ("llama", "mistral", "qwen2")
"""model_type of the language models of decoder-only models."""
NOT_CALIBRATED = (
    "CrossRay did not train or calibrate it: probabilities are its own, evidence compares with a "
    "black image, and which words are grounded is unknown."
)
CALIBRATED = (
    "CrossRay did not train it, and calibrated its probabilities on studies of another source; "
    "evidence compares with a black image."
)


@dataclass(frozen=True)
class Connector:
    """How a decoder-only model's image becomes tokens of its text."""

    prompt: list[int]
    """The text that the model goes on from, one of its tokens standing for the image's."""
    image_token_id: int
    layer: int
    """Of the vision tower, whose hidden states become tokens: an index, negative from the end."""
    class_token: bool
    """The tower's class token is one of the image's tokens."""
    activation: str
    """Between the projector's two layers; transformers' name."""
    bias: bool
    """The projector's layers have one."""


@dataclass
class ImportedConfig:
    """A NetworkConfig (model/interface.py) of parts that CrossRay did not make.

    A published checkpoint, or one that `crossray train` made of pretrained parts. Until it is
    calibrated (`crossray calibrate`) the temperature is 1, no threshold says which words are
    grounded (their state is "unknown"), no finding has a probability, and no image is compared
    with those that are known. What the fitted fields mean: model.config.ReportConfig.
    """

    name: str
    notice: str
    """What every user of this checkpoint must know: where it is from, and what on."""
    source: str
    """Folder name, or "owner/name@commit" of the hub."""
    encoder: dict[str, Any]
    """transformers' config of the encoder, its model_type one of ENCODERS; or that of timm's
    (timm_encoder.py)."""
    decoder: dict[str, Any]
    """transformers' config of the decoder, its model_type one of DECODERS."""
    processing: Processing
    pad_token_id: int
    bos_token_id: int
    """The decoder's first token."""
    eos_token_id: int
    max_tokens: int
    section_token_id: int | None = None
    """The token between findings and impression, where there is one; what follows it has the
    decoder's token type 1."""
    clean_up_spaces: bool = False
    """Spaces before punctuation and in contractions are removed from decoded texts."""
    temperature: float = 1.0
    views: list[str] = field(default_factory=lambda: ["frontal"])
    """Of model.config.VIEWS; nothing but its pixels shows the decoder what an image is."""
    images_per_study: int | None = 1
    """None: any number, their patches one after another."""
    connector: Connector | None = None
    """Of a decoder-only model, whose maps are of self-attention; None with cross-attention."""

    grounded_share: float | None = None
    ask_scale: float = 1.0
    ask_offset: float = 0.0
    answer_scales: dict[str, list[float]] = field(default_factory=dict)
    assert_from: dict[str, float] = field(default_factory=dict)
    finding_scale: float | None = None
    finding_offset: float = 0.0
    calibrated: list[str] | None = field(default_factory=list)
    report_words: list[str] | None = None
    novelty_threshold: float = 0.0
    check: dict[str, list[float]] | None = None

    prompt_tokens = 0
    answers = False

    @property
    def image_size(self) -> int:
        return self.processing.size

    @property
    def vocab_size(self) -> int:
        return int(self.decoder["vocab_size"])

    @property
    def layers(self) -> int:
        return int(self.decoder.get("n_layer") or self.decoder["num_hidden_layers"])

    @property
    def heads(self) -> int:
        return int(self.decoder.get("n_head") or self.decoder["num_attention_heads"])

    @property
    def prefix(self) -> int:
        """Positions before the patches: class and register tokens, or a prompt's words."""
        if self.connector is not None:
            # The image token is replaced, and the last one is the start token.
            return len(self.connector.prompt) - 2 + self.image_prefix
        if self.encoder["model_type"] == TIMM:
            return int(self.encoder["prefix"])
        return prefix_of(self.encoder)

    @property
    def image_prefix(self) -> int:
        """Class tokens among the image tokens of a decoder-only model."""
        connector = self.connector
        assert connector is not None
        return TOWERS[self.encoder["model_type"]] if connector.class_token else 0

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the encoder's patches."""
        if self.encoder["model_type"] == TIMM:
            rows, columns = self.encoder["grid"]
            return int(rows), int(columns)
        return grid_of(self.encoder, self.image_size)

    def uncalibrated(self, **changes: Any) -> "ImportedConfig":
        """A copy with nothing fitted, and with some fields replaced."""
        fitted: dict[str, Any] = {"temperature": 1.0, "grounded_share": None, "calibrated": []}
        fitted |= {"ask_scale": 1.0, "ask_offset": 0.0, "finding_scale": None}
        fitted |= {"finding_offset": 0.0, "novelty_threshold": 0.0}
        fitted |= {"answer_scales": {}, "assert_from": {}}
        return replace(self, **fitted, **changes)

    def say_calibrated(self) -> None:
        """The notice of a published checkpoint no longer says that it was not."""
        self.notice = self.notice.replace(NOT_CALIBRATED, CALIBRATED)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"model_type": MODEL_TYPE, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImportedConfig":
        """What `to_dict` returned.

        Raises:
            CheckpointError: fields that are missing or unknown.
        """
        given = {name: value for name, value in values.items() if name != "model_type"}
        if unknown := sorted(given.keys() - {field.name for field in fields(cls)}):
            raise CheckpointError(f"config.json has unknown fields {unknown}: import it anew")
        try:
            processing = Processing.of(given.pop("processing"))
            connector = given.pop("connector", None)
            if connector is not None:
                connector = Connector(**connector)
            return cls(**given, processing=processing, connector=connector)
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"config.json lacks a field ({error}): import it anew") from error
