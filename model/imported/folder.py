"""A Hugging Face folder -> what the adapter needs. Runs no code from it, unpickles nothing."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from huggingface_hub import ModelCard
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from model.errors import CheckpointError
from model.imported.config import (
    DECODERS,
    ENCODERS,
    LANGUAGE_MODELS,
    NOT_CALIBRATED,
    TOWERS,
    ImportedConfig,
)
from model.imported.decoder_only_folder import LLAVA, SELF_ATTENTION, read_decoder_only
from model.imported.processing import Processing

__all__ = [
    "ImportedCheckpoint",
    "backend_of",
    "image_processing",
    "positions_of",
    "read_hugging_face",
]

DEFAULT_MAX_TOKENS = 256
"""Of a checkpoint that does not say how long its reports are."""
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
KIND = "vision-encoder-decoder"
CXRMATE = "cvt"
"""Encoder of the checkpoints that write findings, [SEP], impression."""


@dataclass(frozen=True)
class ImportedCheckpoint:
    """Everything that was read of a folder."""

    config: ImportedConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer
    sha256: str
    """Of the weights' file; of the sums of all, where there are several."""
    card: str
    """README.md as it came; empty where there is none."""


def read_hugging_face(folder: Path, source: str) -> ImportedCheckpoint:
    """Read a folder that transformers wrote: model, image processor and tokenizer.

    The model is a VisionEncoderDecoderModel, or a LlavaForConditionalGeneration.

    Args:
        source: where the folder is from: its name, or "owner/name@commit".

    Raises:
        CheckpointError: what it lacks, or why it cannot be read.
    """
    config = _json(folder / "config.json")
    _check_kind(config)
    generation_file = folder / "generation_config.json"
    generation = _json(generation_file) if generation_file.is_file() else {}
    tokenizer, clean_up, fallback_eos = backend_of(folder)
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    known = {
        "name": source.split("@")[0],
        "notice": _notice(source, text),
        "source": source,
        "clean_up_spaces": clean_up,
    }
    if config["model_type"] == LLAVA:
        imported = _decoder_only(folder, config, generation, fallback_eos, known)
    else:
        imported = _encoder_decoder(folder, config, generation, fallback_eos, known)
        separator = tokenizer.token_to_id("[SEP]")
        if config["encoder"]["model_type"] == CXRMATE and separator != imported.eos_token_id:
            imported.section_token_id = separator
    if tokenizer.get_vocab_size() > imported.vocab_size:
        raise CheckpointError(
            f"the tokenizer has {tokenizer.get_vocab_size()} entries and the decoder "
            f"{imported.vocab_size}: it is the tokenizer of another checkpoint"
        )
    weights, digest = _weights(folder)
    return ImportedCheckpoint(imported, weights, tokenizer, digest, text)


def _encoder_decoder(
    folder: Path,
    config: dict[str, Any],
    generation: dict[str, Any],
    fallback_eos: int | None,
    known: dict[str, Any],
) -> ImportedConfig:
    start, eos, pad = _tokens(generation, config, config["decoder"], fallback_eos)
    return ImportedConfig(
        **known,
        encoder=config["encoder"],
        decoder=config["decoder"],
        processing=image_processing(folder, config["encoder"]),
        pad_token_id=pad,
        bos_token_id=start,
        eos_token_id=eos,
        max_tokens=_max_tokens(generation, positions_of(config["decoder"])),
    )


def _decoder_only(
    folder: Path,
    config: dict[str, Any],
    generation: dict[str, Any],
    fallback_eos: int | None,
    known: dict[str, Any],
) -> ImportedConfig:
    read = read_decoder_only(folder, config)
    _, eos, pad = _tokens(generation, config, read.decoder, fallback_eos)
    imported = ImportedConfig(
        **{**known, "notice": f"{known['notice']} {SELF_ATTENTION}"},
        encoder=read.encoder,
        decoder=read.decoder,
        connector=read.connector,
        processing=image_processing(folder, read.encoder),
        pad_token_id=pad,
        bos_token_id=read.connector.prompt[-1],
        eos_token_id=eos,
        max_tokens=0,
    )
    rows, columns = imported.grid
    free = read.positions - imported.prefix - rows * columns
    imported.max_tokens = _max_tokens({**generation, "max_length": None}, free)
    if imported.max_tokens < 1:
        raise CheckpointError(
            f"its language model reads {read.positions} tokens, which the prompt and the "
            f"{rows} x {columns} image tokens fill"
        )
    return imported


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name} holds no JSON object")
    return values


def _check_kind(config: dict[str, Any]) -> None:
    kind = config.get("model_type")
    architectures = config.get("architectures") or ["none named"]
    named = f"{kind!r} ({', '.join(map(str, architectures))})"
    reads = (
        f"CrossRay reads {KIND!r} folders with an encoder of {', '.join(ENCODERS)} and a decoder "
        f"of {', '.join(DECODERS)}, and {LLAVA!r} folders with {', '.join(TOWERS)} and "
        f"{', '.join(LANGUAGE_MODELS)}"
    )
    if kind == LLAVA:
        return
    if kind != KIND:
        decoder_only = any(
            str(name).endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel"))
            for name in architectures
        )
        if decoder_only:
            raise CheckpointError(
                f"config.json is of {named}, a decoder without cross-attention to image patches "
                f"(decoder-only, or another kind of generator): {reads}"
            )
        raise CheckpointError(f"config.json is of {named}, no report generator: {reads}")
    for part, known in (("encoder", ENCODERS), ("decoder", DECODERS)):
        found = (config.get(part) or {}).get("model_type")
        if found not in known:
            raise CheckpointError(f"its {part} is of model_type {found!r}: {reads}")
    if config["encoder"]["model_type"] == CXRMATE:
        if "projection_size" not in config["encoder"]:
            raise CheckpointError(
                "a CvT encoder without projection_size: not of the CXRMate family"
            )
        if any("Longitudinal" in str(name) for name in architectures):
            raise CheckpointError(
                f"{named} reads an earlier report as a prompt, which CrossRay does not give it: "
                "use a single-image checkpoint of the family"
            )


def _weights(folder: Path) -> tuple[dict[str, Tensor], str]:
    index = folder / INDEX
    if (folder / WEIGHTS).is_file():
        names = [WEIGHTS]
    elif index.is_file():
        names = sorted(set(_json(index).get("weight_map", {}).values()))
    else:
        pickles = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
        if pickles:
            raise CheckpointError(
                f"the weights are in {pickles[0]!r}, a format that can run code when it is read: "
                "CrossRay reads safetensors only. Convert them where you trust them: "
                "VisionEncoderDecoderModel.from_pretrained(folder).save_pretrained(new_folder)"
            )
        raise CheckpointError(f"no weights: neither {WEIGHTS} nor {INDEX}; copy the folder again")
    weights: dict[str, Tensor] = {}
    sums = []
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{INDEX} names {name!r}, which is not a file beside it")
        try:
            content = (folder / name).read_bytes()
            weights |= safetensors.torch.load(content)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{name} cannot be read ({error}): copy the folder again"
            ) from error
        sums.append(hashlib.sha256(content).hexdigest())
    whole = sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
    return weights, whole


def backend_of(folder: Path) -> tuple[Tokenizer, bool, int | None]:
    """The tokenizer, whether decoded spaces are cleaned up, and the token that ends its texts.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"no tokenizer: none of {', '.join(TOKENIZERS)} is there; copy the tokenizer's files "
            "of the same checkpoint beside config.json"
        )
    try:
        loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        backend = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"the tokenizer cannot be read ({_brief(error)})") from error
    eos = loaded.eos_token_id if loaded.eos_token_id is not None else loaded.sep_token_id
    return backend, bool(loaded.clean_up_tokenization_spaces), eos


def image_processing(folder: Path, encoder: dict[str, Any]) -> Processing:
    """What the image processor beside an encoder's config asks for.

    Raises:
        CheckpointError: there is none, or its images are no squares.
    """
    if not any((folder / name).is_file() for name in PROCESSORS):
        raise CheckpointError(
            f"no image processor: none of {', '.join(PROCESSORS)} is there, and without it nobody "
            "knows how its images were made; copy the file of the same checkpoint, or of the "
            "encoder it was trained from"
        )
    try:
        made = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        raise CheckpointError(f"the image processor cannot be read ({_brief(error)})") from error
    sizes = {name: getattr(made, name, None) for name in ("size", "crop_size")}
    fit, size, shortest = _fit(made, sizes, encoder)
    normalize = bool(made.do_normalize)
    return Processing(
        size=size,
        fit="crop" if fit else "stretch",
        shortest=shortest,
        # Pillow's numbers; torchvision has no Lanczos for tensors and takes bicubic for it too.
        interpolation={0: "nearest", 2: "bilinear"}.get(int(made.resample), "bicubic"),  # type: ignore[arg-type]
        scale=255.0 * float(made.rescale_factor) if made.do_rescale else 255.0,
        mean=tuple(made.image_mean) if normalize else (0.0, 0.0, 0.0),
        std=tuple(made.image_std) if normalize else (1.0, 1.0, 1.0),
    )


def _fit(made: Any, sizes: dict[str, Any], encoder: dict[str, Any]) -> tuple[bool, int, int]:
    """Whether the middle is cut out, the side of the square, and what the shorter side becomes."""
    kind, size, crop = type(made).__name__, sizes["size"], sizes["crop_size"]
    if getattr(made, "do_pad", False) or getattr(made, "do_thumbnail", False) or not made.do_resize:
        raise CheckpointError(
            f"the image processor {kind} pads images or does not resize them: only processors that "
            "resize to a square, or resize and crop its middle, are read"
        )
    edge = getattr(size, "shortest_edge", None)
    if encoder["model_type"] == CXRMATE and edge:
        return True, edge, edge  # CXRMate resizes and crops to the shortest edge itself
    if "ConvNext" in kind and edge:
        # transformers: above 384 pixels it stretches, below it crops by crop_pct.
        return edge < 384, edge, int(edge / made.crop_pct)
    cropped = bool(getattr(made, "do_center_crop", False)) and crop is not None
    square = crop if cropped else size
    side = getattr(square, "height", None)
    if side is None or side != square.width:
        raise CheckpointError(
            f"the image processor {kind} makes images of {square}: only squares are read"
        )
    if not cropped:
        return False, side, side
    if edge:
        return True, side, edge
    raise CheckpointError(
        f"the image processor {kind} stretches to {size} and crops to {side}: it is not read"
    )


def _tokens(
    generation: dict[str, Any],
    config: dict[str, Any],
    decoder: dict[str, Any],
    fallback_eos: int | None,
) -> tuple[int, int, int]:
    """The start, end and padding tokens, where transformers' generate looks for them."""

    def first(name: str) -> int | None:
        for values in (generation, config, decoder):
            value = values.get(name)
            if value is not None:
                return int(value[0] if isinstance(value, list) else value)
        return None

    start = first("decoder_start_token_id")
    start = first("bos_token_id") if start is None else start
    eos = first("eos_token_id")
    eos = fallback_eos if eos is None else eos
    pad = first("pad_token_id")
    if start is None or eos is None:
        lacking = "decoder_start_token_id" if start is None else "eos_token_id"
        raise CheckpointError(
            f"neither config.json nor generation_config.json has a {lacking}: add the one it was "
            "trained with to generation_config.json"
        )
    return start, eos, eos if pad is None else pad


def _max_tokens(generation: dict[str, Any], positions: int) -> int:
    """Longest report in so many positions, its end token counted and the start token not."""
    asked = generation.get("max_new_tokens")
    if asked is None and generation.get("max_length"):
        asked = int(generation["max_length"]) - 1
    return min(positions, int(asked or DEFAULT_MAX_TOKENS))


def positions_of(decoder: dict[str, Any]) -> int:
    """How many tokens a decoder can read, by its config."""
    positions = int(decoder.get("n_positions") or decoder.get("max_position_embeddings") or 1)
    if decoder["model_type"] == "roberta":
        positions -= 1 + int(decoder.get("pad_token_id") or 0)  # its positions begin after padding
    return positions


def _notice(source: str, card: str) -> str:
    """What its card says of its training and license, and what holds for every import."""
    try:
        data = ModelCard(card, ignore_metadata_errors=True).data.to_dict() if card else {}
    except ValueError:  # a README without a card's header, or a broken one
        data = {}
    datasets = data.get("datasets") or []
    datasets = [datasets] if isinstance(datasets, str) else datasets
    trained = ", ".join(map(str, datasets))[:200]
    return (
        f"Research software, not for diagnosis. Imported checkpoint {source}; its card says: "
        f"trained on {trained or 'data it does not name'}, license "
        f"{data.get('license') or 'not stated'}. {NOT_CALIBRATED}"
    )


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:150]
