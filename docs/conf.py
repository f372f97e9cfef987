"""Sphinx settings of the site: MyST pages, PyData theme, the Python API from docstrings."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = "CrossRay"
author = "CrossRay maintainers"
copyright = "CrossRay maintainers, Apache-2.0"
version = release = PROJECT["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/test_notebooks.py executes them

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "CrossRay"
html_show_sourcelink = False
highlight_language = "text"
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_nav_level": 2,
}
