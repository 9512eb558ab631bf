"""The documentation site: `make docs` writes it to docs/_build/html; warnings are errors."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qmode_widgets

ROOT = Path(__file__).parent.parent
about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = "qmode_widgets"
author = about["authors"][0]["name"]
copyright = f"2026, {author}"  # noqa: A001 - the name that Sphinx reads
release = version = qmode_widgets.__version__

# Sphinx lets every logger through; Qiskit's reports each pass of a transpilation.
logging.getLogger("qiskit").setLevel(logging.WARNING)

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


def setup(app: Any) -> None:
    """Keep Napoleon from taking what stands before a colon in a property's first line for its type."""

    def swap(old: str, new: str) -> Callable[..., None]:
        def process(app: Any, what: str, name: str, described: Any, options: Any, lines: list[str]) -> None:
            if what == "property" and lines:
                lines[0] = lines[0].replace(old, new)

        return process

    app.connect("autodoc-process-docstring", swap(":", "\0"), priority=400)  # Napoleon's is 500
    app.connect("autodoc-process-docstring", swap("\0", ":"), priority=600)
