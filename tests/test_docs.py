"""The documents hold: links lead somewhere, and every command they show is one that there is."""

import re
import shlex
import sys

import click
import pytest
import typer.main
from huggingface_hub import ModelCard
from paths import ROOT

from app.cli.main import app

sys.path.insert(0, str(ROOT / "docs"))
import cli_reference

NAMED_FILE = re.compile(r"`((?:app|crossray|data_prep|docs|model|tests|training)/[\w/.-]+)`")
CARDS = sorted((ROOT / "model").glob("*/README.md"))
TASKS = {"image-to-text", "image-text-to-text"}
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*sorted((ROOT / "docs").rglob("*.md")), *CARDS]
COMMAND = re.compile(r"^\s*(?:\$ )?crossray ([a-z].+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def shown():
    for page in PAGES:
        for line in COMMAND.findall(page.read_text("utf-8")):
            yield pytest.param(line, id=f"{page.stem}: {line[:40]}")


@pytest.mark.parametrize("line", list(shown()))
def test_a_command_shown_is_one_there_is(line):
    words = shlex.split(re.split(r"\s{2,}|\s#|\s[|>&]", line)[0], comments=True)
    command: click.Command = typer.main.get_command(app)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        assert words and words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    used = {word.strip("[]").split("=")[0] for word in words if word.lstrip("[").startswith("-")}
    assert used <= known, f"{sorted(used - known)} of {line!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_of_this_repository_named_is_there(page):
    for name in NAMED_FILE.findall(page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def test_make_targets_shown_are_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for target in re.findall(r"^\s+make (\w+)", page.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_command_reference_is_current():
    assert cli_reference.PAGE.read_text("utf-8") == cli_reference.page(), (
        "run: python docs/cli_reference.py"
    )


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_a_model_card_has_the_front_matter_that_the_hub_reads(card):
    data = ModelCard.load(card).data
    assert data.license == "apache-2.0"
    assert data.library_name == "crossray"
    assert data.pipeline_tag in TASKS
    assert data.language == "en"
    assert all(isinstance(tag, str) for tag in data.tags)
