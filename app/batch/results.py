"""A batch's output folder: what is done stays done, and nothing half-written looks done.

    OUT/
      batch.json         which model wrote it
      shards/            of a batch in parts, see app/batch/merging.py
      summary.csv        one row a study, one for each file that was not read
      studies/KEY/       report.json (the API's answer) and heatmaps.jpg
      records/KEY.json   what became of a study, written last

KEY is a hash; no name in here comes from a file's content.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from app.batch.records import Output, Record, model_content, model_of, refuse_other_model
from app.batch.sharding import Shard
from model.checkpoint_folder import ModelIdentity
from model.errors import ConfigError, CrossRayError

__all__ = ["Results"]

PARTIAL = ".partial-"


class Results:
    """The output folder of one batch and one model."""

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        """
        Args:
            shard: the part of the batch that this process writes; None for all of it.
        """
        self.folder = folder
        self.shard = shard
        self._studies = folder / "studies"
        self._records = folder / "records"

    @contextmanager
    def opened(self, model: ModelIdentity, redo: bool) -> Iterator[None]:
        """Hold the folder for this process.

        Args:
            redo: throw away what another model wrote instead of refusing.

        Raises:
            ConfigError: the folder is in use, of another model, or of another kind.
        """
        self._check_kind()
        with _writing("the output folder"):
            self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            with _writing("the output folder"):
                self._settle(model, redo)
            yield

    @contextmanager
    def reopened(self) -> Iterator[None]:
        """Hold the folder of a batch that has begun, whatever its model.

        Raises:
            ConfigError: the folder is not a batch's, or in use.
        """
        if not (self.folder / "batch.json").is_file():
            raise ConfigError(f"{str(self.folder)!r} is no output folder of `crossray batch`")
        with self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Parts share the folder, each alone in its part; all else is alone in it."""
        with ExitStack() as locks:
            if self.shard is None:
                self._lock(locks, ".lock", fcntl.LOCK_EX)
            else:
                self._lock(locks, ".lock", fcntl.LOCK_SH)
                self._lock(locks, f".lock-{self.shard.name}", fcntl.LOCK_EX)
            yield

    def _lock(self, locks: ExitStack, name: str, kind: int) -> None:
        with _writing("the output folder"):
            lock = locks.enter_context((self.folder / name).open("w"))
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another batch is writing to {str(self.folder)!r}: wait for it to end"
            ) from error

    def finished(self, study: str, stamps: tuple[str, ...], indication: str) -> Record | None:
        """A study's record where nothing is left to do for exactly these files.

        Args:
            stamps, indication: as in Record.
        """
        path = self._records / f"{study}.json"
        if not path.is_file():
            return None
        record = Record.from_json(path.read_bytes())
        if record is None or not record.covers(stamps, indication):
            return None
        return record if all(self._is_whole(study, output) for output in record.outputs) else None

    def _is_whole(self, study: str, output: Output) -> bool:
        """Whether an output is there as it was written; people remove and empty files."""
        try:
            return (self._studies / study / output.name).stat().st_size == output.size
        except OSError:
            return False

    def write(self, record: Record, files: Mapping[str, bytes]) -> Record:
        """Put a study's files and its record in place, whole or not at all.

        Returns:
            The record with its outputs.

        Raises:
            CrossRayError: the disk is full or the folder may not be written. What was there
                before stays.
        """
        outputs = tuple(Output(name, len(content)) for name, content in files.items())
        record = replace(record, outputs=outputs)
        with _writing(f"study {record.study}"):
            final = self._studies / record.study
            partial = self._studies / f"{PARTIAL}{record.study}"
            earlier = self._studies / f"{PARTIAL}earlier-{record.study}"
            # Left by a worker that was killed: this one does its study again.
            for left in (partial, earlier):
                shutil.rmtree(left, ignore_errors=True)
            if files:
                partial.mkdir()
                for name, content in files.items():
                    _write_file(partial / name, [content])
                _sync(partial)
            (self._records / f"{record.study}.json").unlink(missing_ok=True)
            if final.exists():
                final.rename(earlier)
            if files:
                partial.rename(final)
            _sync(self._studies)
            shutil.rmtree(earlier, ignore_errors=True)
            self._replace(self._records / f"{record.study}.json", [record.to_json()])
        return record

    def remember(self, record: Record) -> None:
        """Nothing more is to do: a run reads the records themselves."""

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Replace a file beside the studies.

        Args:
            name: relative to the folder, such as "shards/1-of-2.jsonl".
            pieces: its content.
        """
        path = self.folder / name
        with _writing(path.name):
            path.parent.mkdir(exist_ok=True)
            self._replace(path, pieces)

    def _check_kind(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"the output {str(self.folder)!r} is a file: name a folder")
        known = self.folder / "batch.json"
        if self.folder.is_dir() and not known.is_file():
            names = [path.name for path in self.folder.iterdir()]
            if any(not name.startswith((".lock", PARTIAL)) for name in names):
                raise ConfigError(
                    f"the output folder {str(self.folder)!r} holds other things: name a new or "
                    "empty folder, or one that a batch has begun"
                )

    def _settle(self, model: ModelIdentity, redo: bool) -> None:
        """Make room, or go on where an earlier run with the same model stopped."""
        known = self.folder / "batch.json"
        if known.is_file():
            earlier = model_of(known.read_bytes(), str(self.folder))
            if not redo:
                refuse_other_model(earlier, model, str(self.folder))
            else:
                shutil.rmtree(self._records, ignore_errors=True)
        # Before the folders: they, without it, would be a stranger's to the next run.
        self._replace(known, [model_content(model)])
        for folder in (self._studies, self._records):
            folder.mkdir(exist_ok=True)
        for left in self._studies.glob(f"{PARTIAL}*"):
            if self.shard is None or self.shard.holds(left.name.rpartition("-")[2]):
                shutil.rmtree(left)

    def _replace(self, path: Path, pieces: Iterable[bytes]) -> None:
        part = f"{self.shard.name}-" if self.shard else ""
        partial = path.with_name(f"{PARTIAL}{part}{path.name}")
        _write_file(partial, pieces)
        partial.replace(path)
        _sync(path.parent)


def _write_file(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a folder's new names survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CrossRayError(
            f"cannot write {what}: {error.strerror}; mend that and run the same command again, it "
            "does what is missing"
        ) from error
