"""The examples of docs/howto/test.md work without changes."""

import os
import re

import pytest

from tests import forks
from tests.acceptance.once import ONCE
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, ONCE]

PAGE = ROOT / "docs" / "howto" / "test.md"


def test_the_tests_of_the_page_pass(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    for number, block in enumerate(blocks):
        (tmp_path / f"test_{number}.py").write_text(block)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    environment.pop("TMS_DATABASE", None)

    process = forks.run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nomigrations", "-n", "0", cwd=tmp_path, env=environment
    )

    assert "5 passed" in process.stdout, process.stdout + process.stderr
