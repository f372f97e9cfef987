"""The model a run starts with: new, or the weights of an earlier checkpoint."""

from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.layers.pos_embed import resample_abs_pos_embed
from tokenizers import Tokenizer
from torch import Tensor, nn

from model.checkpoint import load_checkpoint
from model.config import ReportConfig
from model.encoder import Encoder
from model.errors import ConfigError, DataError
from model.network import ReportModel
from training.config import TrainConfig

__all__ = ["first_model"]


def first_model(config: TrainConfig) -> tuple[ReportModel, Tokenizer]:
    """A new model, with the prepared folder's tokenizer or all of an earlier checkpoint's.

    Raises:
        ConfigError: no such checkpoint, or one of another shape; pretrained weights that cannot
            be had.
        DataError: a prepared folder without a tokenizer.
    """
    if config.initial is None:
        path = Path(config.data) / "tokenizer.json"
        if not path.is_file():
            raise DataError(
                f"no tokenizer.json in {config.data!r}: make it with `crossray prepare`"
            )
        tokenizer = Tokenizer.from_file(str(path))
        model = ReportModel(_shape(config, tokenizer))
        if config.pretrained:
            model.encoder.load_state_dict(_pretrained(model.config, config.pretrained))
        return model, tokenizer
    if not Path(config.initial).is_dir():
        raise ConfigError(
            f"no checkpoint at initial = {config.initial!r}: run the training it comes from first, "
            "or name another"
        )
    earlier, tokenizer, _ = load_checkpoint(Path(config.initial))
    model = ReportModel(_shape(config, tokenizer))
    weights = earlier.state_dict()
    place = "encoder.trunk.pos_embed"
    grids = list(model.encoder.coarse_grid), list(earlier.encoder.coarse_grid)
    if place in weights and grids[0] != grids[1]:  # images of another size
        prefix = earlier.encoder.trunk.num_prefix_tokens
        weights[place] = resample_abs_pos_embed(weights[place], *grids, prefix)
    if not model.config.prompt_tokens:  # it need not read what the earlier one was prompted with
        weights.pop("decoder.prompt_positions.weight", None)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"the weights of initial = {config.initial!r} do not fit these [model] settings: give "
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
        if file is None:
            there = set(timm.create_model(config.encoder, num_classes=0).state_dict())
        else:
            with safe_open(file, "pt") as content:
                there = set(content.keys())
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"the weights of pretrained = {source!r} cannot be had ({str(error)[:160]}): give a "
            "file of them, or leave it out to begin with drawn ones"
        ) from error
    # timm passes over names that one side lacks, and leaves them drawn.
    lacking = sorted(set(encoder.trunk.state_dict()) - there)
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


def _shape(config: TrainConfig, tokenizer: Tokenizer) -> ReportConfig:
    return ReportConfig(
        **config.model_dump()["model"],
        vocab_size=tokenizer.get_vocab_size(),
        attention_guidance=config.losses.guidance,
        answers=config.losses.answers > 0,
    )
