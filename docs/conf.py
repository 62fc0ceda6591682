"""Configuration of Sphinx."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "kernia_billing"
author = "kernia_billing contributors"
release = installed_version("kernia-billing")
version = release
html_title = project
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
nitpicky = False
