"""An environment with the packages of one extra or dependency group only, made of the packages that are installed here."""

import re
import sysconfig
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LISTS = {**PROJECT["optional-dependencies"], "demo": PYPROJECT["dependency-groups"]["demo"]}


def python_with(name, folder):
    """Make a virtual environment in ``folder``, with links to the packages of an extra, or of the group ``demo``; return its Python."""
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    for package in sorted(packages_of(name)):
        installed = distribution(package)
        # The first part of each path: a package, a module or metadata. Scripts are outside, and caches belong to several.
        tops = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (Path(paths["purelib"]) / top).symlink_to(str(installed.locate_file(top)))
    return Path(paths["scripts"]) / "python"


def packages_of(name):
    """Return the names of the packages that the project requires with an extra or group, and of those that they require."""
    found = set()
    waiting = [Requirement(f"{PROJECT['name']}[{name}]")]
    done = set()
    while waiting:
        requirement = waiting.pop()
        key = (_normalized(requirement.name), frozenset(requirement.extras))
        if key not in done:
            done.add(key)
            found.add(key[0])
            waiting += _required(*key)
    return found - {PROJECT["name"]}


def _required(name, extras):
    """Yield what a package requires here. The project's own list is read from its source, and not as it is installed."""
    if name == PROJECT["name"]:
        own = [PROJECT["dependencies"], *(LISTS[extra] for extra in extras)]
        yield from (Requirement(one) for some in own for one in some)
        return
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if any(requirement.marker is None or requirement.marker.evaluate({"extra": one}) for one in {"", *extras}):
            yield requirement


def _normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()
