"""Sphinx: Markdown pages and the API from docstrings; built offline, warnings are errors."""

import hoimg

project = "hoimg"
author = "the hoimg authors"
copyright = "2026, the hoimg authors"
release = version = hoimg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "hoimg"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Fields stand in the class text under "Attributes"; as members they would be listed twice.
napoleon_use_ivar = True
napoleon_google_docstring = True
# Two classes are called Exam: what was read (hoimg.dicom) and what is reported (hoimg.results).
suppress_warnings = ["ref.python"]
