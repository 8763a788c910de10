"""One function of a benchmark, in a process of its own: ``python -m tests.bench.call MODULE FUNCTION ARGUMENTS``.

ARGUMENTS are a list in JSON. The last line that it prints is what the function returns, in JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import django

if __name__ == "__main__":
    django.setup()
    function = getattr(import_module(f"tests.bench.{sys.argv[1]}"), sys.argv[2])
    print(json.dumps(function(*json.loads(sys.argv[3]))))
