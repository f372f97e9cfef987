"""The net's shape, kept in a checkpoint's config.json. Knows no weights."""

from dataclasses import field
from typing import Any

from transformers import PretrainedConfig

from model.errors import ConfigError
from model.interface import NOTICE, VIEWS

__all__ = ["REFUSED_ARGUMENTS", "ReportConfig"]

# The second half would make a checkpoint's config download weights or unpickle a file.
REFUSED_ARGUMENTS = {"img_size", "in_chans", "num_classes", "features_only"} | {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
}


class ReportConfig(PretrainedConfig):
    """The shape of a ReportModel.

    Attributes:
        name: the checkpoint's name.
        notice: what every user of this checkpoint must know.
        encoder: name of a timm vision transformer; or, where there is a `vision`, of what its
            weights were.
        vision: transformers' config of a vision model (model/vision.py) that is the encoder, with
            the "mean" and "std" of its images; None where it is timm's.
        encoder_arguments: passed on to timm.create_model, but for what is set here
            (img_size, in_chans, num_classes) and for anything that loads other weights.
        stem: name of a timm convolutional network whose feature map of stride `stem_stride`
            becomes the tokens, or None for the transformer's own patches. Learns sooner from
            scratch (Xiao et al. 2021, Early Convolutions Help Transformers See Better).
        fine_stride: stride of an earlier feature map of the stem, by which the transformer's
            patches are cut finer before the decoder reads them; None leaves them at stem_stride.
        image_size: side of the square images, in pixels.
        width, layers, heads, mlp_ratio, dropout: of the decoder; heads must divide width.
        max_tokens: longest report in tokens, its end token counted and its start token not.
        views: which of VIEWS the weights were trained to read, "frontal" among them.
        prompt_tokens: longest indication in tokens that can stand before a report; 0 where the
            weights were trained without.
        attention_guidance: weight of the phrase boxes in the loss the weights were trained
            with; recorded only.
        temperature: what logits are divided by where a probability is reported (not where tokens
            are chosen), fitted on studies the weights were not trained on.
        grounded_share: the share of a word's attention on the images from which it has a map;
            the rest fell on the sink.
        answers: whether the weights were taught to answer questions (model/questions.py); what is
            asked of others is sampled.
        ask_scale, ask_offset: the probability of what is asked for is
            sigmoid(ask_scale * log_odds + ask_offset) (Platt 1999), of the answer's log-odds or of
            the share of samples.
        answer_scales: the same of single findings, [scale, offset] by name.
        assert_from: the probability from which a report asserts a finding, by name; what the answer
            calls at least as probable is named whether or not the text was about to.
        calibrated: the findings whose probability held on images like those the checkpoint is
            for; the others are reported without one. None: all of them.
        finding_scale, finding_offset: the same for what the report itself asserts, of the
            log-probability of the clause that names it first; None where nothing was fitted.
        report_words: the words of the training reports in small letters, sorted: a phrase of these
            can be asked for. None where they were not recorded.
        check: of each code of model/check.py that the images decide, and of codes with a finding
            ("unseen/nodule"), scale, offset and threshold: the probability that it is an error is
            sigmoid(scale * log_odds + offset) in reports of which every second one has an error,
            and from the threshold on it is listed. None where nothing was fitted.
        novelty_threshold: an image whose features lie farther than this from those of the
            phantoms or radiographs fitted on is reported as unfamiliar; 0 where nothing was fitted.

    Raises:
        ConfigError: values that cannot work together.
    """

    model_type = "crossray"
    attribute_map = {  # noqa: RUF012 (transformers' own spelling; DynamicCache reads these)
        "hidden_size": "width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "max_position_embeddings": "max_tokens",
    }

    name: str = "crossray"
    notice: str = NOTICE
    encoder: str = "vit_tiny_patch16_224"
    encoder_arguments: dict[str, Any] = field(default_factory=dict)
    vision: dict[str, Any] | None = None
    stem: str | None = None
    stem_stride: int = 16
    fine_stride: int | None = None
    image_size: int = 224
    vocab_size: int = 1000
    width: int = 192
    layers: int = 3
    heads: int = 3
    mlp_ratio: float = 4.0
    dropout: float = 0.1
    max_tokens: int = 160
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 1
    views: list[str] = field(default_factory=lambda: ["frontal"])
    prompt_tokens: int = 0
    attention_guidance: float = 0.0
    temperature: float = 1.0
    grounded_share: float = 0.5
    answers: bool = False
    ask_scale: float = 1.0
    ask_offset: float = 0.0
    answer_scales: dict[str, list[float]] = field(default_factory=dict)
    assert_from: dict[str, float] = field(default_factory=dict)
    finding_scale: float | None = None
    finding_offset: float = 0.0
    calibrated: list[str] | None = None
    report_words: list[str] | None = None
    check: dict[str, list[float]] | None = None
    novelty_threshold: float = 0.0
    is_encoder_decoder: bool = True

    @property
    def images_per_study(self) -> int | None:
        """See NetworkConfig: any number."""
        return None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        self.decoder_start_token_id = self.bos_token_id
        if self.width % self.heads:
            raise ConfigError(f"heads must divide width, got {self.heads} and {self.width}")
        if self.vision is not None and (self.stem or self.encoder_arguments):
            raise ConfigError(
                f"stem {self.stem!r} and encoder_arguments {self.encoder_arguments} are of timm's "
                f"encoders, and {self.encoder!r} is transformers': leave them out"
            )
        if self.stem and self.image_size % self.stem_stride:
            raise ConfigError(
                f"image_size must be a multiple of stem_stride, got {self.image_size} and "
                f"{self.stem_stride}"
            )
        if self.fine_stride and (not self.stem or self.stem_stride % self.fine_stride):
            raise ConfigError(
                f"fine_stride {self.fine_stride} needs a stem whose stem_stride, "
                f"{self.stem_stride}, is a multiple of it"
            )
        if "frontal" not in self.views or not set(self.views) <= set(VIEWS):
            raise ConfigError(f"views {self.views} must hold 'frontal' and be of {VIEWS}")
        if self.prompt_tokens < 0:
            raise ConfigError(f"prompt_tokens must be 0 or above, got {self.prompt_tokens}")
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, got {self.temperature}")
        if not 0 <= self.grounded_share <= 1:
            raise ConfigError(f"grounded_share must be in [0, 1], got {self.grounded_share}")
        if wrong := [name for name, line in self.answer_scales.items() if len(line) != 2]:
            raise ConfigError(f"answer_scales of {wrong} must each be [scale, offset]")
        if not self.novelty_threshold >= 0:
            raise ConfigError(f"novelty_threshold must be 0 or above, got {self.novelty_threshold}")
        if refused := REFUSED_ARGUMENTS & self.encoder_arguments.keys():
            raise ConfigError(
                f"encoder_arguments may not hold {sorted(refused)}: image_size sets the size, "
                "images have one channel, and weights come from the checkpoint only"
            )
