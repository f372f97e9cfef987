"""What a checkpoint says of how it came to be: training.json and the model card."""

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.study import manifest_hash
from training.config import TrainConfig

__all__ = ["card", "data_record", "training_record"]

LIBRARIES = ("crossray", "torch", "timm", "transformers", "tokenizers", "numpy")


def data_record(folder: Path) -> dict[str, Any]:
    """How a prepared folder was made, as its prepared.json says, and its manifest's SHA-256."""
    note = folder / "prepared.json"
    made = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    return {**made, "manifest_sha256": manifest_hash(folder)}


def training_record(
    config: TrainConfig,
    data: dict[str, Any],
    *,
    step: int,
    seconds: float,
    losses: dict[str, float],
    scores: list[dict[str, float]],
) -> dict[str, Any]:
    """training.json.

    Args:
        step: steps done; fewer than config.steps while the run goes on.
        seconds: of training, over all sessions of the run.
        losses: the last step's.
        scores: every validation's, oldest first, with "step".
    """
    return {
        "settings": asdict(config),
        "data": data,
        "step": step,
        "studies_seen": step * config.batch,
        "seconds": round(seconds, 1),
        "losses": losses,
        "validation": scores,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "written": datetime.now(UTC).date().isoformat(),
    }


def card(config: TrainConfig, record: dict[str, Any], parameters: int) -> str:
    """The model card, Markdown."""
    scores = record["validation"][-1] if record["validation"] else {}
    lines = [f"| {k} | {v:.3f} |" for k, v in scores.items() if "/" not in k and k != "step"]
    return CARD.format(
        name=config.model.name,
        notice=config.model.notice,
        parameters=f"{parameters / 1e6:.1f} million",
        size=config.model.image_size,
        data=_data(record["data"]),
        step=record["step"],
        batch=config.batch,
        minutes=round(record["seconds"] / 60),
        seed=config.seed,
        guidance=config.losses.guidance,
        commands=_commands(config, record["data"]),
        scores="\n".join(lines) or "| none yet | |",
    )


def _data(data: dict[str, Any]) -> str:
    digest = data["manifest_sha256"]
    if data.get("source") == "phantom":
        return (
            f"{data['studies']} simulated studies (phantoms) of seed {data['seed']}, "
            f"{data['size']} pixels a side, made by this project. "
            f"SHA-256 of the manifest: `{digest}`."
        )
    return f"A prepared folder whose manifest has the SHA-256 `{digest}`."


def _commands(config: TrainConfig, data: dict[str, Any]) -> str:
    lines = []
    if data.get("source") == "phantom":
        lines.append(
            f"crossray prepare phantom {Path(config.data).name} "
            f"--studies {data['studies']} --seed {data['seed']}"
        )
    lines.append("crossray train SETTINGS.toml   # with the settings that training.json holds")
    if config.initial is not None:
        lines.append(f"# which began with the weights of another run: {Path(config.initial).name}")
    return "\n".join(lines)


CARD = """\
---
license: apache-2.0
pipeline_tag: image-to-text
---

# {name}

{notice}

Drafts a report for a chest radiograph and gives, for every word, where the decoder looked.
{parameters} parameters, pictures of {size} x {size} pixels.

## Not for diagnosis

For research and teaching. What it says of a real radiograph is no finding: do not use it, or let
it be used, in the care of a patient. A map shows where the decoder looked, not why.

## Data

{data}

## Training

{step} steps of {batch} studies in {minutes} minutes, seed {seed}. The decoder's cross-attention was
guided by where the findings are (weight {guidance}), and a head that is no longer here taught the
encoder which patch shows which finding. `training.json` holds every setting, the versions of
the libraries and every validation. Commands:

```
{commands}
```

## Scores on the validation split

With the true text forced: loss a token, share of finding words whose map is largest on their
finding, and how well the encoder tells which findings a picture has. `crossray evaluate` measures
what the generated reports say.

| | |
|---|---|
{scores}

## Licence

Apache-2.0.
"""
