"""Log lines, JSON for the service and plain for a terminal, that could identify no patient.

Only CrossRay's own loggers and the server's are heard. Other libraries quote values of the file at
hand in their messages and warnings, so theirs are dropped whole; of an exception only its type and
the places in the code are logged, never its message.
"""

import json
import logging
import sys
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TextIO

__all__ = ["FIELDS", "JsonFormatter", "OwnLoggersOnly", "PlainFormatter", "configure_logging"]

FIELDS = ("request", "method", "route", "status", "milliseconds", "problem")
"""The fields a line may have beside time, level, logger and event."""


HEARD = {"crossray", "uvicorn", "app", "data_prep", "model", "training"}


class JsonFormatter(logging.Formatter):
    """A record as one JSON line: time, level, logger, event, and those of FIELDS it carries."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["places"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """A record as a line for who runs a command, like the errors that end one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"crossray: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line += f" ({type(error).__name__} at {', '.join(_places(error)[-3:])})"
        return line


def _places(error: BaseException) -> list[str]:
    return [
        f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


class OwnLoggersOnly(logging.Filter):
    """Passes CrossRay's and uvicorn's records; the latter name no path, with access log off."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] in HEARD


def configure_logging(stream: TextIO | None = None, as_json: bool = True) -> None:
    """Send the process's log to a stream (standard error), and nothing else anywhere."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else PlainFormatter())
    handler.addFilter(OwnLoggersOnly())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Libraries with a handler of their own would go round the filter.
    for name in ("pydicom", "PIL", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    # pydicom warns with the value it dislikes ("Invalid value for VR PN: ...").
    warnings.simplefilter("ignore")
