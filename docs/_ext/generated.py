"""Reference pages that are made of the code at each build, so that they can't drift from it.

They are written beside the other pages and ignored by git.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from sphinx.application import Sphinx

from tms_webhooks import catalogue, conf, signals
from tms_webhooks.catalogue.markdown import to_markdown
from tms_webhooks.checks import MEANINGS
from tms_webhooks.checks.messages import PREFIX

DOCS = Path(__file__).resolve().parent.parent
KINDS = {"E": "Error", "W": "Warning", "I": "Information"}
OF_DJANGO = {name for action in BaseCommand().create_parser("", "")._actions for name in action.option_strings}
OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)\)")


def settings() -> Iterator[str]:
    """Yield the page on the settings, in the groups of conf.py."""
    yield "# Settings\n"
    yield f"A host writes what it changes into the dictionary `{conf.SETTING_NAME}`; `manage.py check` names what is wrong"
    yield "with it. Times are seconds unless the name says otherwise.\n"
    yield f"`{conf.ORGANIZATION_MODEL_SETTING}` stands by itself: the host's organization model as `app_label.ModelName`,"
    yield "before the first migrate.\n"
    source = Path(conf.__file__).read_text(encoding="utf-8")
    declared = {setting.name: setting for setting in conf.declared()}
    heading = ""
    for line in source[source.index("class AppSettings") :].splitlines():
        named = re.match(r"    ([A-Z_]+)(?::[^=]+)? = ", line)
        if line.startswith("    # "):
            # A comment that no setting follows is no heading.
            heading = f"## {line.removeprefix('    # ')}\n\n"
        elif named and named[1] in declared:
            setting = declared[named[1]]
            yield f"{heading}### {setting.name}\n"
            heading = ""
            yield f"{setting.__doc__}\n"
            yield f"Takes {setting.expects}. Default: `{setting.default!r}`.\n"


def commands() -> Iterator[str]:
    """Yield the page on the management commands: what argparse says of each."""
    yield "# Commands\n"
    yield "`python manage.py <command> --help` says the same. Exit status 2 is what argparse itself uses: the command could"
    yield "not begin with what it was given.\n"
    for name in sorted(name for name, app in get_commands().items() if app == "tms_webhooks"):
        command = load_command_class("tms_webhooks", name)
        parser = command.create_parser("manage.py", name)
        yield f"## {name}\n"
        yield f"{command.help}\n"
        yield "| Option | |\n|---|---|"
        for action in parser._actions:
            if not OF_DJANGO.intersection(action.option_strings):
                yield f"| {_option(action)} | {(action.help or '').replace('|', '/')} |"
        yield ""


def _option(action: Any) -> str:
    values = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    if not action.option_strings:
        return f"`{values or action.dest}`".replace("|", "` or `")
    takes = "" if action.nargs == 0 else f" {values or action.dest.upper()}"
    return f"`{'|'.join(action.option_strings)}{takes}`".replace("|", "` or `")


def checks() -> Iterator[str]:
    """Yield the page on the system checks."""
    yield "# System checks\n"
    yield "What `manage.py check` can say, each with a hint at the remedy. Those from 70 on run with `--deploy`, where the"
    yield "system faces the internet.\n"
    yield "| Id | | Meaning |\n|---|---|---|"
    for number, meaning in MEANINGS.items():
        yield f"| `{PREFIX}.{number}` | {KINDS[number[0]]} | {meaning} |"


def signal_page() -> Iterator[str]:
    """Yield the page on the signals, in the words of signals.py."""
    yield "# Signals\n"
    yield f"{signals.__doc__}\n"
    source = Path(signals.__file__).read_text(encoding="utf-8")
    for name, doc in re.findall(r'^(\w+) = \w*Signal\(\)\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL):
        yield f"## {name}\n"
        yield doc.replace("``", "`") + "\n"


def events() -> Iterator[str]:
    """Yield the page on the events."""
    yield to_markdown(catalogue.all_types())
    yield "`manage.py webhooks_catalogue --format json-schema` prints the schemas, `openapi` and `asyncapi` the same for tools."


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "events": events,
    "commands": commands,
    "checks": checks,
    "signals": signal_page,
}


def root_page(name: str) -> str:
    """Return a page of the repository's root, with its links as they are here."""
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    for target, page in ROOT_PAGES.items():
        text = text.replace(f"]({target})", f"]({page}.md)")
    return text.replace("](docs/", "](")


ROOT_PAGES: Mapping[str, str] = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}


def write(_app: Sphinx | None = None) -> None:
    """Write the pages that differ from what is there."""
    # argparse breaks lines at the width of the terminal.
    os.environ["COLUMNS"] = "120"
    pages = {f"reference/{name}.md": "\n".join(page()) + "\n" for name, page in PAGES.items()}
    pages |= {f"{page}.md": root_page(name) for name, page in ROOT_PAGES.items()}
    for name, text in pages.items():
        file = DOCS / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def name_outsiders(_app: Sphinx, page: str, content: list[str]) -> None:
    """Turn links to files that are no pages, such as modules, into their paths: the site has no such pages."""
    here = (DOCS / page).parent

    def named(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page}: there is no {link[2]}")
        if target.is_relative_to(DOCS):
            return link[0]
        path = f"`{target.relative_to(DOCS.parent)}`"
        return path if link[1].strip("`") in path else f"{link[1]} ({path})"

    content[0] = OUTSIDE.sub(named, content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to the build."""
    app.connect("builder-inited", write)
    app.connect("source-read", name_outsiders)
    return {"parallel_read_safe": True}
