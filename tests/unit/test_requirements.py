"""Each lower bound of a requirement is the release that the environment `lowest` installs and tests."""

import re
import tomllib
from pathlib import Path

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
REQUIREMENTS = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]


def floors(requirements):
    """Return the lower bounds by package."""
    found = {}
    for requirement in requirements:
        name, floor = re.fullmatch(
            r"([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)(?:,(?:<|!=)[\d.*]+)*(?:; .+)?", requirement
        ).groups()
        found[name] = floor
    return found


def of_group(name):
    """Yield the requirements of a group that have a lower bound, and those of the groups that it includes."""
    for one in GROUPS[name]:
        if isinstance(one, dict):
            yield from of_group(one["include-group"])
        elif ">=" in one:
            yield one


def installed_in_lowest():
    """Return the extras and the group that the environment `lowest` installs."""
    (command,) = PYPROJECT["tool"]["tox"]["env"]["lowest"]["commands_pre"]
    *_, editable, option, group = command
    assert option == "--group"
    return re.search(r"\[(.+)\]", editable)[1].split(","), group


def test_a_requirement_that_is_listed_twice_has_one_lower_bound():
    # The higher one would be installed and tested, and the lower one promised.
    bounds = {}
    for listed in (REQUIREMENTS, *EXTRAS.values(), *map(of_group, GROUPS)):
        for name, floor in floors(listed).items():
            bounds.setdefault(name, set()).add(floor)

    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_the_production_page_names_each_extra():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "production.md").read_text()
    table = page.split("## Extras")[1].split("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }

    assert named == EXTRAS.keys()


def test_the_oldest_releases_of_all_extras_are_tested():
    extras, group = installed_in_lowest()
    tested = floors([*of_group(group), *(one for extra in extras for one in EXTRAS[extra])])
    promised = {name for listed in EXTRAS.values() for name in floors(listed)}
    # Of the same project and release as the SDK, which requires it.
    tested["opentelemetry-api"] = tested["opentelemetry-sdk"]

    assert promised - tested.keys() == set()
    assert floors(EXTRAS["otel"]) == {"opentelemetry-api": tested["opentelemetry-sdk"]}
