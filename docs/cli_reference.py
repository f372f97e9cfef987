"""Write reference/cli.md from the commands' own --help: `python docs/cli_reference.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.cli.main import app

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 96
GROUPS = {
    "Write reports": ("report", "ask", "check", "batch", "batch-merge", "serve"),
    "Look after a store": ("store",),
    "Prepare data": ("prepare",),
    "Train": ("train", "pretrain", "average", "calibrate"),
    "Evaluate a checkpoint": (
        "evaluate",
        "answers",
        "evaluate-check",
        "grounding",
        "lungs",
        "robustness",
        "experiment",
        "input-check",
    ),
    "Anatomy": ("anatomy",),
    "Score reports of any system": ("score", "compare", "label", "rexrank"),
}
"""Other commands stand under the last heading, "Others"."""


def paths() -> list[tuple[str, ...]]:
    """Every command by its words, in the order of their declaration: ("prepare", "phantom")."""
    return list(_below(typer.main.get_command(app), ()))


def _below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        yield words
    for name, inner in (commands or {}).items():
        yield from _below(inner, (*words, name))


def page() -> str:
    """The Markdown of the page."""
    known = {first for group in GROUPS.values() for first in group}
    groups = {title: [p for p in paths() if p[0] in firsts] for title, firsts in GROUPS.items()}
    groups["Others"] = [p for p in paths() if p[0] not in known]
    groups = {title: commands for title, commands in groups.items() if commands}
    helps = {path: _help(path) for path in paths()}
    lines = [
        "# The command line",
        "",
        "Written from `--help` by `python docs/cli_reference.py`; a test checks that it is",
        "current. Exit status: 0, done; 2, an error, in one line on standard error; 3, `crossray",
        "batch` or `crossray rexrank` finished, but some studies have no report.",
        "",
    ]
    for title, commands in groups.items():
        lines += [f"**{title}**", "", "| command | |", "|---|---|"]
        for path in commands:
            link = f"[`crossray {' '.join(path)}`](#crossray-{'-'.join(path)})"
            lines.append(f"| {link} | {_summary(helps[path])} |")
        lines.append("")
    for commands in groups.values():
        for path in commands:
            lines += [f"## crossray {' '.join(path)}", "", "```text", helps[path], "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _help(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(
        app,
        [*path, "--help"],
        prog_name="crossray",
        terminal_width=WIDTH,
        env={"COLUMNS": str(WIDTH)},
    )
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


def _summary(text: str) -> str:
    """The first sentence of a command's help."""
    paragraph = text.split("\n\n")[1]
    sentence = " ".join(paragraph.split()).split(". ")[0]
    return sentence.removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
