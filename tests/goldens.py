"""Write the golden files and the generated pages of the reference again, after an intended change. Read the difference then.

python -m tests.goldens
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = "TMS_WEBHOOKS_WRITE_GOLDEN"
"""A test that compares a file writes it first if this variable of the environment is 1."""


def writing_tests():
    """Return the paths of the tests that write files."""
    return [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if VARIABLE in path.read_text(encoding="utf-8")
    ]


def main():
    """Run these tests, and list the files that differ from the last commit. Return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", *writing_tests()]
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, VARIABLE: "1"}, check=False).returncode
    subprocess.run(["git", "status", "--short", "tests/golden", "docs/reference"], cwd=ROOT, check=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
