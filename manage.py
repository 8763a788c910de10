#!/usr/bin/env python
"""Run a Django command for the example project."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    try:
        execute_from_command_line(sys.argv)
    except ModuleNotFoundError as error:
        error.add_note("The example project needs the group 'demo': .venv/bin/pip install -e . --group demo")
        raise
