"""Generate the reference pages from the code at each build, so that they match it.

The pages are written to the folders of the other pages, and git ignores them.
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
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.markdown import to_markdown
from tms_webhooks.checks import MEANINGS
from tms_webhooks.checks.messages import PREFIX

DOCS = Path(__file__).resolve().parent.parent
KINDS = {"E": "Error", "W": "Warning", "I": "Information"}
OF_DJANGO = {name for action in BaseCommand().create_parser("", "")._actions for name in action.option_strings}
OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)\)")


def settings() -> Iterator[str]:
    """Yield the lines of the page on settings, in the groups of conf.py."""
    yield "# Settings\n"
    yield f"Write the settings that you change into the dictionary `{conf.SETTING_NAME}`. `manage.py check` reports mistakes"
    yield "in it. Times are in seconds unless the name says otherwise.\n"
    yield f"`{conf.ORGANIZATION_MODEL_SETTING}` is a setting of its own: your organization model as `app_label.ModelName`."
    yield "Set it before the first migrate.\n"
    source = Path(conf.__file__).read_text(encoding="utf-8")
    declared = {setting.name: setting for setting in conf.declared()}
    heading = ""
    for line in source[source.index("class AppSettings") :].splitlines():
        named = re.match(r"    ([A-Z_]+)(?::[^=]+)? = ", line)
        if line.startswith("    # "):
            # A comment is a heading only if a setting follows.
            heading = f"## {line.removeprefix('    # ')}\n\n"
        elif named and named[1] in declared:
            setting = declared[named[1]]
            yield f"{heading}### {setting.name}\n"
            heading = ""
            yield f"{setting.__doc__}\n"
            yield f"Type: {setting.expects}. Default: `{_literal(setting.default)}`.\n"


def _literal(value: Any) -> str:
    """Return a default as Python source, with underscores in large numbers."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return f"{value:_}" if type(value) in (int, float) else repr(value)


def commands() -> Iterator[str]:
    """Yield the lines of the page on management commands, from their argparse help."""
    yield "# Commands\n"
    yield "`python manage.py <command> --help` shows the same text. Each command exits with status 2 if its arguments are"
    yield "invalid.\n"
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
    """Yield the lines of the page on system checks."""
    yield "# System checks\n"
    yield "`manage.py check` reports these messages, each with a hint. Checks with numbers from 70 run only with `--deploy`,"
    yield "for production.\n"
    yield "| Id | Level | Meaning |\n|---|---|---|"
    for number, meaning in MEANINGS.items():
        yield f"| `{PREFIX}.{number}` | {KINDS[number[0]]} | {meaning} |"


def signal_page() -> Iterator[str]:
    """Yield the lines of the page on signals, from the docstrings of signals.py."""
    yield "# Signals\n"
    yield f"{signals.__doc__}\n"
    source = Path(signals.__file__).read_text(encoding="utf-8")
    for name, doc in re.findall(r'^(\w+) = \w*Signal\(\)\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL):
        yield f"## {name}\n"
        yield doc.replace("``", "`") + "\n"


def events() -> Iterator[str]:
    """Yield the lines of the page on events."""
    # The fields of the example project are not the package's.
    with custom.only_canonical():
        yield to_markdown(catalogue.all_types())
    yield "`manage.py webhooks_catalogue --format json-schema` prints the schemas. The formats `openapi` and `asyncapi` print them"
    yield "as API documents."


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "events": events,
    "commands": commands,
    "checks": checks,
    "signals": signal_page,
}


def root_page(name: str) -> str:
    """Return a page of the repository's root, with links that work in the documentation."""
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
    """Write the pages whose text changed."""
    # argparse wraps lines at the width of the terminal.
    os.environ["COLUMNS"] = "120"
    pages = {f"reference/{name}.md": "\n".join(page()) + "\n" for name, page in PAGES.items()}
    pages |= {f"{page}.md": root_page(name) for name, page in ROOT_PAGES.items()}
    for name, text in pages.items():
        file = DOCS / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def replace_outside_links(_app: Sphinx, page: str, content: list[str]) -> None:
    """Replace links to files outside the documentation, such as modules, by their paths."""
    here = (DOCS / page).parent

    def named(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page} links to {link[2]}, which does not exist.")
        if target.is_relative_to(DOCS):
            return link[0]
        path = f"`{target.relative_to(DOCS.parent)}`"
        return path if link[1].strip("`") in path else f"{link[1]} ({path})"

    content[0] = OUTSIDE.sub(named, content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both functions to the build."""
    app.connect("builder-inited", write)
    app.connect("source-read", replace_outside_links)
    return {"parallel_read_safe": True}
