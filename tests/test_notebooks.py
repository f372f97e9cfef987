"""The notebooks of the documentation run, and show what they showed when they were written."""

import re
import subprocess
import sys

import nbformat
import pytest
from paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
CODE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def printed(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The lines that each code cell printed."""
    return [
        [line for output in cell.outputs for line in output.get("text", "").splitlines()]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path) -> None:
    """In a process of its own: Jupyter's event loop warns, and warnings here are errors."""
    command = [sys.executable, "-c", CODE, path, tmp_path / path.name]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-3000:]
    stored = nbformat.read(path, as_version=4)
    again = nbformat.read(tmp_path / path.name, as_version=4)
    # A report is the same wherever it is written. Scores may differ in their last digit.
    for before, after in zip(printed(stored), printed(again), strict=True):
        reports = [line for line in before if line.startswith("Findings:")]
        assert reports == [line for line in after if line.startswith("Findings:")]
    assert any(line.startswith("Findings:") for lines in printed(stored) for line in lines)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_executed_and_names_no_path_of_a_machine(path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    shown = "\n".join(str(cell.outputs) for cell in code)
    assert not re.search(r"/(home|tmp|root|work|Users)/", shown)
    assert "'output_type': 'error'" not in shown
