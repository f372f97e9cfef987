"""What a stopped run needs to resume exactly: one safetensors file, replaced whole or not at all.

No pickles: a file of tensors and a JSON text in its header.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from model.errors import CheckpointError

__all__ = ["Progress", "load_snapshot", "save_snapshot"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int
    """Steps done."""
    seconds: float
    """Of training so far, over all its sessions."""
    scores: list[dict[str, float]]
    """Of every validation, oldest first, with "step"."""

    def after_step(self, seconds: float) -> "Progress":
        """One step further, which took so long."""
        return replace(self, step=self.step + 1, seconds=self.seconds + seconds)


def save_snapshot(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizer: Optimizer,
    progress: Progress,
    settings: dict[str, Any],
) -> None:
    """Write everything a run needs to resume. Random numbers follow from seed and step.

    Args:
        modules: "modules", what is trained, and others whose weights change with it.
        settings: what must be the same for the run to resume.
    """
    tensors = {
        f"{kind}.{name}": value
        for kind, module in modules.items()
        for name, value in module.state_dict().items()
    }
    for name, parameter in modules["modules"].named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    temporary = path.with_suffix(".part")
    whole = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    save_file(
        whole,
        temporary,
        metadata={"progress": json.dumps(vars(progress)), "settings": json.dumps(settings)},
    )
    temporary.replace(path)


def load_snapshot(
    path: Path, modules: Mapping[str, nn.Module], optimizer: Optimizer, settings: dict[str, Any]
) -> Progress:
    """Put everything back in place; returns where the run stood.

    Raises:
        CheckpointError: not a snapshot, or one of a run with other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            progress, saved = (
                Progress(**json.loads(notes["progress"])),
                json.loads(notes["settings"]),
            )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.name!r} is not a snapshot of a run: remove it to start anew"
        ) from error
    _require_same(path, saved, settings)
    for kind, module in modules.items():
        module.load_state_dict(_under(tensors, f"{kind}."))
    for name, parameter in modules["modules"].named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if (value := tensors.get(f"optimizer.{key}.{name}")) is not None:
                # In the parameter's own memory layout: fused AdamW walks both in one go.
                like = parameter if value.shape == parameter.shape else value
                kept = torch.empty_like(like, dtype=value.dtype, device=parameter.device)
                optimizer.state[parameter][key] = kept.copy_(value).detach()
    return progress


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _require_same(path: Path, saved: dict[str, Any], settings: dict[str, Any]) -> None:
    # Through JSON and back, or a tuple would differ from the list it became.
    settings = json.loads(json.dumps(settings))
    if saved == settings:
        return
    changed = sorted(k for k in saved.keys() | settings.keys() if saved.get(k) != settings.get(k))
    raise CheckpointError(
        f"{path.name!r} in {str(path.parent)!r} belongs to a run with another "
        f"{', '.join(changed)}: choose another output (with initial = its checkpoint to go on from "
        "there), or remove the file to start anew"
    )
