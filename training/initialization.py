"""The network a run starts with: new, of pretrained parts, or an earlier checkpoint's weights."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.layers.pos_embed import resample_abs_pos_embed
from tokenizers import Tokenizer as Backend
from torch import Tensor, nn

from model.checkpoint import load_checkpoint
from model.config import ReportConfig
from model.encoder import Encoder, missing_weights
from model.errors import ConfigError, DataError
from model.imported.network import ImportedNetwork
from model.imported.pretrained import Recipe, is_folder, join, vision_part
from model.imported.tokenizer import ImportedTokenizer
from model.interface import Tokenizer
from model.loading import AnyNetwork, load_network
from model.network import ReportModel
from training.config import TrainConfig
from training.model_settings import PretrainedModel

__all__ = ["first_model"]


def first_model(config: TrainConfig) -> tuple[AnyNetwork, Tokenizer]:
    """The network and its tokenizer, all of its weights free to learn.

    Its tokenizer is the prepared folder's, a pretrained decoder's, or an earlier checkpoint's.

    Raises:
        ConfigError: no such checkpoint, or one of another shape; pretrained weights that cannot
            be had.
        DataError: a prepared folder without a tokenizer.
    """
    if isinstance(config.model, PretrainedModel):
        network, tokenizer = _joined(config, config.model)
        network.requires_grad_(True)
        return network, tokenizer
    if config.initial is None:
        return _new(config)
    return _continued(config, config.initial)


def _joined(config: TrainConfig, model: PretrainedModel) -> tuple[ImportedNetwork, Tokenizer]:
    """Of pretrained parts, new or from an earlier run."""
    if config.initial is not None:
        earlier, tokenizer, _ = load_network(config.initial)
        if not (isinstance(earlier, ImportedNetwork) and isinstance(tokenizer, ImportedTokenizer)):
            raise ConfigError(
                f"initial = {config.initial!r} has CrossRay's own decoder, and model.decoder = "
                f"{model.decoder!r} is another: leave one of them out"
            )
        if earlier.config.connector is not None or earlier.config.encoder["model_type"] == "cvt":
            what = "is a decoder-only model" if earlier.config.connector else "has a CvT encoder"
            raise ConfigError(
                f"initial = {config.initial!r} {what}, which is read and not trained: name another "
                "checkpoint"
            )
        earlier.config = earlier.config.uncalibrated(
            name=model.name,
            notice=model.notice,
            max_tokens=model.max_tokens,
            views=model.views,
            images_per_study=None,
        )
        return earlier, ImportedTokenizer(tokenizer.backend, earlier.config)
    if is_folder(model.encoder):
        own = {"pretrained": config.pretrained} if config.pretrained else {}
        own |= {
            f"model.{name}": getattr(model, name)
            for name in ("image_size", "encoder_arguments")
            if name in model.model_fields_set
        }
        for name, value in own.items():
            raise ConfigError(
                f"{name} = {value!r} is of an encoder of timm, and model.encoder = "
                f"{model.encoder!r} brings its own: leave it out"
            )
    return join(Recipe(**dict(model), pretrained=config.pretrained))


def _new(config: TrainConfig) -> tuple[ReportModel, Backend]:
    path = Path(config.data) / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"no tokenizer.json in {config.data!r}: make it with `crossray prepare`")
    tokenizer = Backend.from_file(str(path))
    for name in ("<pad>", "<bos>", "<eos>"):
        if tokenizer.token_to_id(name) is None:
            raise DataError(f"the tokenizer has no {name}: make it with `crossray prepare`")
    if is_folder(config.model.encoder):
        return _with_vision(config, tokenizer), tokenizer
    model = ReportModel(_shape(config, tokenizer))
    if config.pretrained:
        model.encoder.load_state_dict(_pretrained(model.config, config.pretrained))
    return model, tokenizer


def _with_vision(config: TrainConfig, tokenizer: Backend) -> ReportModel:
    """CrossRay's own decoder on a vision model of transformers."""
    source = config.model.encoder
    if config.pretrained:
        raise ConfigError(
            f"pretrained = {config.pretrained!r} is of an encoder of timm, and model.encoder = "
            f"{source!r} brings its own weights: leave it out"
        )
    pretrained, values, processing, pinned = vision_part(source)
    mean, std = (
        [each / processing.scale for each in pair] for pair in (processing.mean, processing.std)
    )
    vision = {**values, "mean": mean, "std": std}
    model = ReportModel(_shape(config, tokenizer, encoder=pinned, vision=vision))
    model.encoder.trunk.model.load_state_dict(pretrained.state_dict())
    return model


def _continued(config: TrainConfig, initial: str) -> tuple[ReportModel, Backend]:
    if not Path(initial).is_dir():
        raise ConfigError(
            f"no checkpoint at initial = {initial!r}: run the training it comes from first, "
            "or name another"
        )
    earlier, tokenizer, _ = load_checkpoint(Path(initial))
    kept = (
        {}
        if earlier.config.vision is None
        else {"encoder": earlier.config.encoder, "vision": earlier.config.vision}
    )
    model = ReportModel(_shape(config, tokenizer, **kept))
    model.config.report_words = earlier.config.report_words
    weights = earlier.state_dict()
    key = "encoder.trunk.pos_embed"
    grids = list(model.encoder.coarse_grid), list(earlier.encoder.coarse_grid)
    if key in weights and grids[0] != grids[1]:  # images of another size
        prefix = earlier.encoder.trunk.num_prefix_tokens
        weights[key] = resample_abs_pos_embed(weights[key], *grids, prefix)
    if not model.config.prompt_tokens:  # it need not read what the earlier one was prompted with
        weights.pop("decoder.prompt_positions.weight", None)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"the weights of initial = {initial!r} do not fit these [model] settings: give "
            "the settings it was trained with (image_size may differ)"
        ) from error
    if list(model.config.views) != list(earlier.config.views):
        _tell_apart(model)
    return model, tokenizer


def _pretrained(config: ReportConfig, source: str) -> dict[str, Tensor]:
    """Of an encoder with the weights that TrainConfig.pretrained names."""
    file = None if source == "timm" else source
    if file is not None and not (file.endswith(".safetensors") and Path(file).is_file()):
        raise ConfigError(
            f"pretrained = {file!r}: no such safetensors file; 'timm' takes what timm has of "
            f"{config.encoder!r}"
        )
    try:
        encoder = Encoder(config, pretrained=True, file=file)
        lacking = missing_weights(encoder.trunk, config.encoder, file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"the weights of pretrained = {source!r} cannot be had ({str(error)[:160]}): give a "
            "file of them, or leave it out to begin with drawn ones"
        ) from error
    if lacking:
        raise ConfigError(
            f"the weights of pretrained = {source!r} lack {len(lacking)} tensors of this encoder, "
            f"such as {lacking[0]!r}: name the network they are of, in the shape it has"
        )
    return encoder.state_dict()


def _tell_apart(model: ReportModel) -> None:
    """Draw the embeddings of views that the weights know nothing of.

    Left at zero they move by the learning rate a step, and for hundreds of steps what an earlier
    image shows is asserted of today's. Frontal images stay what the decoder is used to.
    """
    rows = model.views.weight
    with torch.no_grad():
        for kind in range(1, len(rows)):
            if not rows[kind].any():
                nn.init.normal_(rows[kind], std=VIEW_STD)


VIEW_STD = 0.5
"""Of the embeddings; a patch's features, behind the encoder's norm, have about 1."""


def _shape(config: TrainConfig, tokenizer: Backend, **changes: Any) -> ReportConfig:
    return ReportConfig(
        **{**config.model_dump()["model"], **changes},
        vocab_size=tokenizer.get_vocab_size(),
        attention_guidance=config.losses.guidance,
        answers=config.losses.answers > 0,
    )
