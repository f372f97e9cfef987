"""Settings -> everything that a run is made of, before its first step."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch.optim import Optimizer

from data_prep.manifest import Study
from data_prep.source import IMPORTED
from model.errors import ConfigError
from model.interface import VIEWS, Tokenizer
from model.loading import AnyNetwork
from model.query import report_words
from training.config import TrainConfig, require_search
from training.dataset.batches import Batches, Mixture, Variation
from training.dataset.samples import StudyEncoder
from training.dataset.split import Split, load_split
from training.device import chosen_device, chosen_precision, keep_memory, plain_attention
from training.folds import Fold
from training.initialization import first_model
from training.lora import add_adapters
from training.objective import Objective
from training.optimizer import make_optimizer
from training.processes import Processes
from training.provenance import data_record, initial_record
from training.self_critical import SelfCritical
from training.study_inputs import kind_in

__all__ = ["Setup", "set_up", "snapshot_path"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Setup:
    """The parts of a run. Weights and the optimizer's state change, the rest stays."""

    config: TrainConfig
    """With what "auto" came to."""
    processes: Processes
    data: dict[str, Any]
    """Record of the prepared folder, those mixed in under "mixed"."""
    initial: dict[str, Any] | None
    """Record of the checkpoint or weights it starts from."""
    model: AnyNetwork
    tokenizer: Tokenizer
    train_batches: Batches | Mixture
    validate_batches: Mapping[str, Batches]
    """By prepared folder."""
    objective: Objective
    average: ModelEmaV3 | None
    """Moving average of the objective's weights: what is validated and exported."""
    optimizer: Optimizer

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.processes.device

    @property
    def averaged(self) -> Objective:
        """What is validated and exported."""
        if self.average is None:
            return self.objective
        module = self.average.module
        assert isinstance(module, Objective)
        return module


def snapshot_path(config: TrainConfig) -> Path:
    """What a stopped run resumes from."""
    return Path(config.output) / "resume.safetensors"


def set_up(config: TrainConfig) -> Setup:
    """
    Raises:
        ConfigError, DataError, CheckpointError: settings or a prepared folder that cannot work.
    """
    device = chosen_device(config.device)
    # What "auto" comes to is part of the record, and must be the same where the run resumes.
    config = config.changed(precision=chosen_precision(config.precision, device))
    processes = Processes(device, config.accumulate, config.batch)
    records = {folder: data_record(Path(folder)) for folder in (config.data, *config.mix)}
    complete = _complete(records)
    data = data_record(Path(config.data), [Path(folder) for folder in config.mix])
    model, tokenizer = _network(config)
    encoders = {
        folder: StudyEncoder(
            tokenizer,
            model.config,
            model.grid,
            complete[folder],
            model.place,
            asks=config.losses.answers > 0,
        )
        for folder in records
    }
    _check_losses(config, model, any(complete.values()))
    with processes.one_by_one():
        train = _train_batches(config, encoders, processes.parts)
        validate = {
            folder: Batches(_split(config, folder, "validate", encoder), config.batch, config.seed)
            for folder, encoder in encoders.items()
        }
    studies = [study for source in train for study in source.split.studies]
    _warn_of_missing(config, studies)
    # What the weights that it starts from have learned stays known.
    words = {*(model.config.report_words or ()), *report_words(s.report for s in studies)}
    model.config.report_words = sorted(words)
    critic = None
    if config.losses.reward:
        critic = SelfCritical(tokenizer, [study.report for study in studies], config.reward)
    objective = _placed(Objective(model, config, critic), processes.device)
    return Setup(
        config=config,
        processes=processes,
        data=data,
        initial=initial_record(config),
        model=model,
        tokenizer=tokenizer,
        train_batches=Mixture(train) if config.mix else train[0],
        validate_batches=validate,
        objective=objective,
        average=ModelEmaV3(objective, config.ema, use_warmup=True) if config.ema else None,
        optimizer=make_optimizer(objective, config),
    )


def _network(config: TrainConfig) -> tuple[AnyNetwork, Tokenizer]:
    """As the run begins, or as it is made before a snapshot is read into it."""
    torch.manual_seed(config.seed)
    # What resumes brings its weights; nothing is fetched for it again.
    resumes = snapshot_path(config).is_file()
    model, tokenizer = first_model(config.changed(pretrained="") if resumes else config)
    if config.lora.rank:
        add_adapters(model.decoder, config.lora)
    return model, tokenizer


def _placed(objective: Objective, device: torch.device) -> Objective:
    # channels_last: faster convolutions.
    objective.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        plain_attention(objective.model)
        keep_memory()
    return objective


def _complete(records: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """By folder, whether all that is there to be found has a box."""
    complete = {folder: _is_complete(record) for folder, record in records.items()}
    for folder in records:
        if not complete[folder]:
            log.info("not all in %s has a box: no sink and dense losses of its studies", folder)
    return complete


def _check_losses(config: TrainConfig, model: AnyNetwork, boxes: bool) -> None:
    """What only the network itself shows.

    Raises:
        ConfigError: a loss that cannot be had of it.
    """
    require_search(config, model.config.layers)
    if config.losses.sink and boxes and not model.prefix:
        raise ConfigError(
            f"losses.sink = {config.losses.sink}: the encoder of model.encoder has no position "
            "beside its patches that attention could go to; set losses.sink = 0"
        )


def _is_complete(record: Mapping[str, Any]) -> bool:
    """Whether all that is there has a box, as in phantoms."""
    return record.get("source") not in IMPORTED


def _split(config: TrainConfig, folder: str, split: str, encoder: StudyEncoder) -> Split:
    limit = config.train_studies if split == "train" else config.validate_studies
    store = Path(config.store) if config.store else None
    # Phantoms are no patients: what a fold is for, they have none of.
    patients = data_record(Path(folder)).get("source") != "phantom"
    fold = Fold.parse(config.fold) if config.fold and patients else None
    return load_split(Path(folder), split, encoder, limit, store, fold)


def _train_batches(
    config: TrainConfig, encoders: Mapping[str, StudyEncoder], parts: int
) -> list[Batches]:
    """Of every prepared folder, varied, as many studies a step as the settings say."""
    augment = config.augmentation if config.augment else None
    variation = Variation(augment, config.drop, config.repeat, config.denials)
    sizes = {config.data: config.batch - sum(config.mix.values()), **config.mix}
    splits = {folder: _split(config, folder, "train", each) for folder, each in encoders.items()}
    return [
        Batches(split, sizes[folder], config.seed, variation, parts)
        for folder, split in splits.items()
    ]


def _warn_of_missing(config: TrainConfig, studies: Sequence[Study]) -> None:
    """A checkpoint says that it reads a view, whether or not any study had one."""
    present = {VIEWS[kind_in(image)] for study in studies for image in study.images}
    missing = [f"{view} images" for view in config.model.views if view not in present]
    if config.model.prompt_tokens and not any(study.indication for study in studies):
        missing.append("indications")
    for what in missing:
        log.warning("no train study has %s: the model will say that it reads them, untaught", what)
