"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Of the repository."""
SHARED = ROOT.parent / "shared"
"""Real radiographs and reports, beside the repository; not everyone has them."""
