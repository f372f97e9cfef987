"""Where a checkpoint comes from: training.json and the model card."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.manifest import manifest_hash
from data_prep.source import IMPORTED
from model.errors import DataError
from model.imported.pretrained import is_folder
from model.interface import NetworkConfig
from training.config import TrainConfig
from training.files import sha256_of
from training.folds import Fold
from training.snapshot import Progress

__all__ = [
    "FRONT_MATTER",
    "calibrated_on",
    "card",
    "data_record",
    "data_text",
    "initial_record",
    "learned_from",
    "left_out",
    "record_of",
    "runs_on",
    "saw",
    "training_record",
]

INGREDIENTS = {
    "occluded": "a gray rectangle on",
    "lateral": "a lateral view of",
    "prior": "an earlier image of",
    "indication": "an indication with",
}
"""Options of `prepare phantom` that are probabilities, and what they add to the studies."""
LIBRARIES = ("crossray", "torch", "timm", "transformers", "tokenizers", "numpy")


def data_record(folder: Path, mixed: Sequence[Path] = ()) -> dict[str, Any]:
    """How a prepared folder was made, as its prepared.json says, and its manifest's SHA-256; under
    "mixed", where there are any, the same of the folders that are used with it, by path."""
    note = folder / "prepared.json"
    made = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    others = {"mixed": {each.as_posix(): data_record(each) for each in mixed}} if mixed else {}
    return {**made, "manifest_sha256": manifest_hash(folder), **others}


def record_of(model: Path) -> dict[str, Any]:
    """A checkpoint's training.json; empty of a published checkpoint, which has none."""
    file = model / "training.json"
    record: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return record


def saw(record: dict[str, Any], folder: Path) -> bool:
    """Whether studies of this prepared folder may be among those a checkpoint was trained on.

    A phantom follows from its seed and index: folders of one seed share studies, however many
    they hold. Any other data set is the same however it was prepared.

    Args:
        record: the checkpoint's training.json.

    Raises:
        DataError: the same data set in another split: what it calls test may have been trained on.
    """
    return any(True for _ in runs_on(record, folder))


def runs_on(record: dict[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """The records of those runs of a checkpoint's history, the last one first, that `saw`.

    Raises:
        DataError: as `saw`.
    """
    there = data_record(folder)
    while record:
        # Beside a run those that its weights were averaged with.
        for run in (record, *record.get("average", {}).get("others", ())):
            data = run.get("data") or {}
            if any(_same(there, each, folder) for each in (data, *data.get("mixed", {}).values())):
                yield run
        record = record.get("initial") or {}


def left_out(record: dict[str, Any], folder: Path) -> Fold | None:
    """The fold of a prepared folder's patients that no run of a checkpoint's history has read.

    Raises:
        DataError: as `saw`.
    """
    names = {run.get("settings", {}).get("fold") for run in runs_on(record, folder)}
    [name] = names if len(names) == 1 else [None]
    return Fold.parse(name) if name else None


def learned_from(record: dict[str, Any], folder: Path) -> bool:
    """Whether studies of this prepared folder may have shaped a checkpoint: its weights, or the
    probabilities that calibration fits on labels. Its test split alone measures then.

    Raises:
        DataError: as `saw`.
    """
    return saw(record, folder) or calibrated_on(record, folder)


def calibrated_on(record: dict[str, Any], folder: Path) -> bool:
    """Whether calibration has fitted on labels of this prepared folder.

    Raises:
        DataError: as `saw`.
    """
    return saw({"data": record.get("calibration", {}).get("labeled")}, folder)


def _same(there: dict[str, Any], data: dict[str, Any], folder: Path) -> bool:
    """Whether two prepared folders share studies, by their data_record."""
    if data.get("manifest_sha256") == there["manifest_sha256"]:
        return True
    source = there.get("source")
    if source is None or source != data.get("source"):
        return False
    same = [there.get(k) == data.get(k) for k in ("split", "seed")]
    if source in IMPORTED and not all(same):
        raise DataError(
            f"{str(folder)!r} holds the data set {source!r}, which the checkpoint was "
            "trained or calibrated on in another split: prepare it with the same --split and --seed"
        )
    return all(same) and there.get("seed") is not None


def initial_record(config: TrainConfig) -> dict[str, Any] | None:
    """training.json of the checkpoint a run starts from: its history goes on in the new one.

    Of an encoder's weights from elsewhere: which they are. None of drawn ones.
    """
    if config.initial is not None:
        return record_of(Path(config.initial))
    decoder = getattr(config.model, "decoder", None)
    source = config.pretrained or (config.model.encoder if is_folder(config.model.encoder) else "")
    if not source and decoder is None:
        return None
    weights: dict[str, Any] = {"encoder": config.model.encoder, "weights": source}
    if decoder is not None:
        weights["decoder"] = decoder
    for part in {source, decoder or ""} - {""}:
        for file in (Path(part), Path(part) / "model.safetensors"):
            if file.is_file():
                weights.setdefault("sha256", {})[part] = sha256_of(file)
    return weights


def training_record(
    config: TrainConfig,
    data: dict[str, Any],
    initial: dict[str, Any] | None,
    command: str,
    progress: Progress,
    losses: Mapping[str, float],
) -> dict[str, Any]:
    """training.json.

    Args:
        data: data_record of the prepared folder.
        initial: see initial_record.
        command: what was typed.
        progress: fewer steps than config.steps while the run goes on.
        losses: the last step's.
    """
    return {
        "command": command,
        "settings": config.model_dump(),
        "data": data,
        "initial": initial,
        "step": progress.step,
        "studies_seen": progress.step * config.batch,
        "seconds": round(progress.seconds, 1),
        "losses": dict(losses),
        "validation": progress.scores,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "written": datetime.now(UTC).date().isoformat(),
    }


def card(config: TrainConfig, model: NetworkConfig, record: dict[str, Any], parameters: int) -> str:
    """The model card, Markdown.

    Args:
        model: the network's settings.
        record: training.json.
        parameters: how many it has.
    """
    scores = record["validation"][-1] if record["validation"] else {}
    lines = [f"| {k} | {v:.3f} |" for k, v in scores.items() if "/" not in k and k != "step"]
    return CARD.format(
        name=model.name,
        notice=model.notice,
        parameters=f"{parameters / 1e6:.1f} million",
        size=model.image_size,
        data=data_text(record["data"]),
        step=record["step"],
        batch=config.batch,
        minutes=round(record["seconds"] / 60),
        seed=config.seed,
        views=", ".join(model.views),
        indication=_indication(model.prompt_tokens),
        guidance=config.losses.guidance,
        search=config.losses.search,
        sink=config.losses.sink,
        image_dropout=f"{config.image_dropout:.0%}",
        commands="\n".join(dict.fromkeys(_commands(record))),
        before=_before(record["initial"]),
        scores="\n".join(lines) or "| none yet | |",
    )


def _indication(most: int) -> str:
    return f"Indications of up to {most} tokens." if most else "No indication."


def data_text(data: Mapping[str, Any]) -> str:
    digest = data["manifest_sha256"]
    if data.get("source") == "phantom":
        parts = [
            f"{what} {data[key]:.0%} of them" for key, what in INGREDIENTS.items() if data.get(key)
        ]
        additions = "".join(f"{part}, " for part in parts)
        return (
            f"{data['studies']} simulated studies (phantoms) of seed {data['seed']}, "
            f"{data['size']} pixels a side, {additions}made by this project. "
            f"SHA-256 of the manifest: `{digest}`."
        )
    return f"A prepared folder whose manifest has the SHA-256 `{digest}`."


def _commands(record: dict[str, Any] | None) -> list[str]:
    """What to type to do it again, the runs it started from first."""
    if not record or "command" not in record:
        return []  # weights from elsewhere
    data, prepare = record["data"], []
    if data.get("source") == "phantom":
        prepare = [
            f"crossray prepare phantom {record['settings']['data']} --studies {data['studies']} "
            f"--seed {data['seed']} --size {data['size']}"
            + "".join(f" --{key} {data[key]}" for key in INGREDIENTS if data.get(key))
        ]
    return [*_commands(record["initial"]), *prepare, record["command"]]


def _before(initial: dict[str, Any] | None) -> str:
    if initial is None:
        return ""
    if "decoder" in initial:
        return (
            f" It began with the weights of the encoder {initial['encoder']} and of the decoder "
            f"{initial['decoder']}, whose own licenses and data apply too."
        )
    if "weights" in initial:
        return (
            f" Its encoder began with weights of {initial['encoder']} from elsewhere "
            f"(`{initial['weights']}`), whose own license and data apply too."
        )
    if "settings" not in initial:
        return " It started from weights trained elsewhere."
    size = initial["settings"]["model"]["image_size"]
    return (
        f" It started from the weights of a run of {initial['step']} steps on images of {size} "
        f"pixels.{_before(initial.get('initial'))}"
    )


FRONT_MATTER = """\
---
license: apache-2.0
language: en
library_name: crossray
pipeline_tag: image-to-text
tags:
- chest-x-ray
- radiology-report-generation
---
"""
"""YAML of a model card, as the Hugging Face hub reads it."""

CARD = (
    FRONT_MATTER
    + """
# {name}

{notice}

Drafts a report for a chest radiograph and gives, for every word, the image regions the decoder
attended to.
{parameters} parameters, images of {size} x {size} pixels. Views it reads: {views}. {indication}

## Not for diagnosis

For research and teaching. What it reports of a real radiograph is not a finding: do not use it, or
let it be used, in the care of a patient. A map shows what the decoder attended to, not
why.

## Data

{data}

## Training

{step} steps of {batch} studies in {minutes} minutes, seed {seed}.{before}
The decoder's cross-attention was guided by where the findings are (weight {guidance}) and, for
words that name none, to the sink (weight {sink}); its first layers to the finding that comes
next (weight {search}). {image_dropout} of the studies were read without the image. A head that is
no longer here taught the encoder which patch shows which finding.
`training.json` holds every setting, the versions of the libraries and every validation. Commands:

```
{commands}
```

## Scores on the validation split

With teacher forcing: loss a token, share of finding words whose map is largest on their
finding, share of the other words' attention that is on the sink, and how well the encoder
predicts which findings an image has. `crossray evaluate` measures the generated reports.

| | |
|---|---|
{scores}

## License

Apache-2.0.
"""
)
