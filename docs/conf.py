"""The documentation site: ``python -m sphinx -W docs build/docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
django.setup()

import tms_webhooks

project = "tms_webhooks"
copyright = "The tms_webhooks developers"  # noqa: A001  (Sphinx's name)
version = release = tms_webhooks.__version__

extensions = ["myst_parser", "outside"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The pages of the repository's root have heading levels of their own.
suppress_warnings = ["myst.header"]
exclude_patterns = ["_ext"]

html_theme = "furo"
html_title = "tms_webhooks"
html_copy_source = False
