"""The threat model names tests that exist, and each test of this folder; the audit step says why it skips a tool."""

import re
import tomllib
from pathlib import Path

from tests.conftest import ROOT
from tests.each import each

PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
LINES = [line.partition(" (`tests/") for line in PAGE.read_text().splitlines() if line.startswith("- **")]
NAMED = {path for line in LINES for path in re.findall(r"`(tests/[^`]+)`", "".join(line))}


@each(LINES)
def test_each_threat_names_tests_that_exist(line):
    assert line[0].count(".** ") == 1
    found = re.findall(r"`(tests/[^`]+)`", "".join(line))

    assert found
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_each_attack_of_this_folder_is_in_the_model():
    attacks = {f"tests/security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}

    assert attacks - NAMED == set()


def test_dependencies_that_a_major_release_can_break_have_an_upper_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for some in project["optional-dependencies"].values() for one in some]
    free = ("cryptography", "idna", "tzlocal", "redis", "drf-spectacular-sidecar")

    unbound = {re.split(r"[\[<>=]", one)[0] for one in [*project["dependencies"], *extras] if "<" not in one}
    assert unbound <= set(free)
