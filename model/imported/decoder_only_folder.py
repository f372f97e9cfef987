"""The folder of a decoder-only vision-language model -> its parts' configs and its prompt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from transformers import AutoProcessor, LlavaConfig

from model.errors import CheckpointError
from model.imported.config import LANGUAGE_MODELS, TOWERS, Connector

__all__ = ["INSTRUCTION", "LLAVA", "SELF_ATTENTION", "DecoderOnly", "read_decoder_only"]

LLAVA = "llava"
"""model_type of the folders that are read."""
INSTRUCTION = "Describe the findings of this chest radiograph."
"""What the model is asked to do; its checkpoint's chat template goes around it."""
WITHOUT_TEMPLATE = "USER: {image}\n{instruction} ASSISTANT:"
"""LLaVA 1.5's prompt, for a checkpoint that brings no template."""
SELF_ATTENTION = (
    "A decoder-only model: its maps are self-attention on image tokens, not cross-attention."
)


@dataclass(frozen=True)
class DecoderOnly:
    """What ImportedConfig needs of such a folder."""

    encoder: dict[str, Any]
    """transformers' config of the vision tower."""
    decoder: dict[str, Any]
    """transformers' config of the language model."""
    connector: Connector
    positions: int
    """How many tokens the language model reads at once."""


def read_decoder_only(folder: Path, values: dict[str, Any]) -> DecoderOnly:
    """Read config.json's values and the prompt of a LLaVA folder.

    Raises:
        CheckpointError: parts or a prompt that are not read.
    """
    try:
        whole: Any = LlavaConfig(**{k: v for k, v in values.items() if k != "model_type"})
    except (KeyError, TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        raise CheckpointError(f"config.json cannot be read ({_brief(error)})") from error
    tower, language = whole.vision_config.to_dict(), whole.text_config.to_dict()
    for part, found, known in (
        ("vision tower", tower["model_type"], TOWERS),
        ("language model", language["model_type"], LANGUAGE_MODELS),
    ):
        if found not in known:
            raise CheckpointError(
                f"its {part} is of model_type {found!r}: of {LLAVA!r} folders those with "
                f"{', '.join(known)} are read"
            )
    if not isinstance(whole.vision_feature_layer, int):
        raise CheckpointError(
            f"its image tokens are of the layers {whole.vision_feature_layer} together: models "
            "with one vision_feature_layer are read"
        )
    image_token = int(whole.image_token_index)
    connector = Connector(
        prompt=_prompt(folder, image_token),
        image_token_id=image_token,
        layer=whole.vision_feature_layer,
        class_token=whole.vision_feature_select_strategy == "full",
        activation=whole.projector_hidden_act,
        bias=bool(whole.multimodal_projector_bias),
    )
    positions = int(language["max_position_embeddings"])
    window = language.get("sliding_window")
    return DecoderOnly(tower, language, connector, min(positions, window or positions))


def _prompt(folder: Path, image_token: int) -> list[int]:
    """The tokens of the instruction in the checkpoint's chat template."""
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        tokenizer = processor.tokenizer
        image = tokenizer.convert_ids_to_tokens(image_token)
        if getattr(processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": INSTRUCTION}]
            turns = [{"role": "user", "content": content}]
            # transformers renders templates in a sandbox: they reach neither files nor code.
            text = processor.apply_chat_template(turns, add_generation_prompt=True)
        else:
            text = WITHOUT_TEMPLATE.format(image=image, instruction=INSTRUCTION)
        begun = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
        tokens: list[int] = tokenizer(text, add_special_tokens=not begun).input_ids
    except (OSError, ValueError, TypeError, AttributeError, ImportError, TemplateError) as error:
        raise CheckpointError(
            f"the processor or its chat template cannot be read ({_brief(error)}): copy the "
            "processor's files of the same checkpoint"
        ) from error
    if tokens.count(image_token) != 1 or tokens[-1] == image_token:
        raise CheckpointError(
            f"its chat template gives the prompt {text[:200]!r}, with {tokens.count(image_token)} "
            "image tokens: one is needed, and words after it"
        )
    return tokens


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:150]
