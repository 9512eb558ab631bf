"""The documentation site: `make docs` writes it to docs/_build/html; warnings are errors."""

from __future__ import annotations

import tomllib
from pathlib import Path

import qmode_widgets

ROOT = Path(__file__).parent.parent
about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = "qmode_widgets"
author = about["authors"][0]["name"]
copyright = f"2026, {author}"  # noqa: A001 - the name that Sphinx reads
release = version = qmode_widgets.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "qmode_widgets"
html_theme_options = {"sidebar_hide_name": False}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "inherited-members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Docstrings name things of the field in single backticks; they are code, not references.
default_role = "code"
suppress_warnings = ["myst.xref_missing"]  # the rooms' READMEs link to files of the repository
copybutton_prompt_text = ">>> |$ "
