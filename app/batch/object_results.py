"""A batch's output in object storage, where nothing is renamed or locked.

    OUT/
      batch.json               as in a folder (app/batch/results.py)
      summary.csv, shards/
      studies/KEY/
      records/KEY.json         put last and only where there is none: of two writers the first wins
      ledger/TIME-RUN.jsonl    the records of some hundred studies each

An object is there whole or not at all. Runs read the ledger, which is a few thousand objects for a
million studies; what a killed run had not yet put there is found when its record is put again.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from tempfile import NamedTemporaryFile

from upath import UPath

from app.batch.locations import remote
from app.batch.records import Output, Record, model_content, model_of, refuse_other_model
from app.batch.sharding import Shard
from model.checkpoint_folder import ModelIdentity
from model.errors import ConfigError

__all__ = ["ObjectResults"]

LEDGER_STUDIES = 256
"""Studies of one object of the ledger."""
LEDGER_OBJECTS = 64
"""Objects of the ledger that are read at once."""


class ObjectResults:
    """The output prefix of one batch and one model."""

    def __init__(self, folder: UPath, shard: Shard | None = None) -> None:
        """
        Args:
            shard: the part of the batch that this process writes; None for all of it.
        """
        self.folder = folder
        self.shard = shard
        self._run = secrets.token_hex(8)
        self._earlier: sqlite3.Connection | None = None
        """The ledger in a temporary file, by study: it may be larger than memory."""
        self._pending: list[Record] = []

    @contextmanager
    def opened(self, model: ModelIdentity, redo: bool) -> Iterator[None]:
        """Go on where earlier runs with the same model stopped.

        Raises:
            ConfigError: the prefix is another model's, or is to be redone.
            CrossRayError: the storage answers with an error.
        """
        if redo:
            raise ConfigError("--redo is for output folders: name a new prefix")
        with remote(f"the output {str(self.folder)!r}"):
            known = self.folder / "batch.json"
            if not self._create(known, model_content(model)):
                refuse_other_model(
                    model_of(known.read_bytes(), str(self.folder)), model, str(self.folder)
                )
            self._earlier = self._ledger()
        try:
            yield
        finally:
            with remote("the ledger cannot be written"):
                self._flush()

    @contextmanager
    def reopened(self) -> Iterator[None]:
        """Use the prefix of a batch that has begun, whatever its model.

        Raises:
            ConfigError: the prefix is not a batch's.
        """
        with remote(f"the output {str(self.folder)!r}"):
            if not (self.folder / "batch.json").is_file():
                raise ConfigError(f"{str(self.folder)!r} is no output of `crossray batch`")
        yield

    def finished(self, study: str, stamps: tuple[str, ...], indication: str) -> Record | None:
        """A study's record where nothing is left to do for exactly these files.

        Of what was written since the ledger was, `write` finds the record.
        """
        if self._earlier is None:
            return None
        query = "SELECT record FROM records WHERE study = ?"
        for (content,) in self._earlier.execute(query, [study]):
            record = Record.from_json(content)
            if record is not None and record.covers(stamps, indication):
                return record
        return None

    def write(self, record: Record, files: Mapping[str, bytes]) -> Record:
        """Put a study's files, then its record.

        Returns:
            The record that is there: of another run, if that was first with these very files.

        Raises:
            CrossRayError: the storage answers with an error.
        """
        outputs = tuple(Output(name, len(content)) for name, content in files.items())
        record = replace(record, outputs=outputs)
        with remote(f"study {record.study} cannot be written"):
            for name, content in files.items():
                self._put(self.folder / "studies" / record.study / name, content)
            path = self.folder / "records" / f"{record.study}.json"
            if not self._create(path, record.to_json()):
                first = Record.from_json(path.read_bytes())
                if first is not None and first.covers(record.stamps, record.indication):
                    record = first
                else:
                    self._put(path, record.to_json())
        return record

    def remember(self, record: Record) -> None:
        """Put a written record into the ledger, sooner or later."""
        self._pending.append(record)
        if len(self._pending) == LEDGER_STUDIES:
            with remote("the ledger cannot be written"):
                self._flush()

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Replace an object beside the studies.

        Args:
            pieces: its content, which need not fit into memory.
        """
        path = self.folder / name
        with remote(f"{name} cannot be written"), NamedTemporaryFile() as file:
            file.writelines(pieces)
            file.flush()
            path.fs.put_file(file.name, path.path)

    def _ledger(self) -> sqlite3.Connection:
        ledger = sqlite3.connect("")
        ledger.execute("CREATE TABLE records (study TEXT PRIMARY KEY, record BLOB) WITHOUT ROWID")
        ledger.executemany("INSERT OR REPLACE INTO records VALUES (?, ?)", self._records())
        return ledger

    def _records(self) -> Iterator[tuple[str, bytes]]:
        """Oldest first, so that of a study that was done again the latest counts."""
        fs, folder = self.folder.fs, (self.folder / "ledger").path
        fs.invalidate_cache()
        if not fs.exists(folder):
            return
        paths = sorted(fs.find(folder))
        for start in range(0, len(paths), LEDGER_OBJECTS):
            contents = fs.cat(paths[start : start + LEDGER_OBJECTS])
            for path in sorted(contents):
                for line in contents[path].splitlines():
                    if (record := Record.from_json(line)) is not None:
                        yield record.study, line

    def _flush(self) -> None:
        if self._pending:
            lines = [json.dumps(asdict(record)) + "\n" for record in self._pending]
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{self._run}.jsonl"
            self._put(self.folder / "ledger" / name, "".join(lines).encode())
            self._pending = []

    def _put(self, path: UPath, content: bytes) -> None:
        path.fs.pipe_file(path.path, content)

    def _create(self, path: UPath, content: bytes) -> bool:
        """Put an object where there is none. False where there is one: the put is conditional."""
        try:
            path.fs.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            return False
        return True
