"""Server-sent events of the service."""

import json
from typing import Any

STREAM = {"Accept": "text/event-stream"}


def events(text: str) -> list[dict[str, Any]]:
    """Each with its fields, `data` read as JSON; comments are passed over."""
    blocks = [block for block in text.split("\n\n") if block and block[0] != ":"]
    found: list[dict[str, Any]] = []
    for block in blocks:
        fields: dict[str, Any] = dict(line.split(": ", 1) for line in block.splitlines())
        found.append({**fields, "data": json.loads(fields["data"])})
    return found


def told(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each."""
    return [(event["event"], event["data"]) for event in events(text)]


def texts(of_report: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What a reader of a report's events has after each one."""
    so_far = [""]
    for name, data in of_report:
        if name == "text":
            assert data["start"] <= len(so_far[-1])
            so_far.append(so_far[-1][: data["start"]] + data["text"])
    return so_far[1:]
