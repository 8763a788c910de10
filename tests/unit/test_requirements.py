"""Each lower bound of a requirement is the release that the environment `lowest` installs and tests."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
REQUIREMENTS = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
# Those who run the app need none of these.
TOOLS = {"demo", "dev", "docs"}


def floors(requirements):
    """Return the lower bounds by package."""
    found = {}
    for requirement in requirements:
        name, floor = re.fullmatch(
            r"([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)(?:,(?:<|!=)[\d.*]+)*(?:; .+)?", requirement
        ).groups()
        found[name] = floor
    return found


def listed(extra):
    """Yield the requirements of an extra, and of those that it names."""
    for one in EXTRAS[extra]:
        named = re.fullmatch(r"tms-webhooks\[(\w+)\]", one)
        yield from listed(named[1]) if named else [one]


def installed_in_lowest():
    """Return the extras that the environment `lowest` installs."""
    (command,) = PROJECT["tool"]["tox"]["env"]["lowest"]["commands_pre"]
    return set(re.search(r"\[(.+)\]", command[-1])[1].split(","))


def test_a_requirement_that_is_listed_twice_has_one_lower_bound():
    # The higher one would be installed and tested, and the lower one promised.
    bounds = {}
    for listed in (REQUIREMENTS, *EXTRAS.values()):
        for name, floor in floors([one for one in listed if ">=" in one]).items():
            bounds.setdefault(name, set()).add(floor)

    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_the_production_page_names_each_extra():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "production.md").read_text()
    table = page.split("## Extras")[1].split("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }

    assert named == EXTRAS.keys() - TOOLS


def test_the_oldest_releases_of_all_extras_are_tested():
    tested = floors([one for extra in installed_in_lowest() for one in listed(extra) if ">=" in one])
    promised = {name for extra in EXTRAS.keys() - TOOLS for name in floors(EXTRAS[extra])}
    # Of the same project and release as the SDK, which requires it.
    tested["opentelemetry-api"] = tested["opentelemetry-sdk"]

    assert promised - tested.keys() == set()
    assert floors(EXTRAS["otel"]) == {"opentelemetry-api": tested["opentelemetry-sdk"]}
