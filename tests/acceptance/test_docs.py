"""What the documents show can be used as it stands: code compiles, commands and settings exist, links lead to their headings."""

import ast
import json
import re
import shlex

import pytest
from django.core.management import get_commands, load_command_class

from tests import reference_pages
from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.each import each
from tms_webhooks import conf

pytestmark = ONCE

# The documentation's site makes them.
COPIES = {ROOT / "docs" / f"{name}.md" for name in ("changelog", "contributing", "security")}
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path not in COPIES)
READERS = re.compile(r"\b(administrators|contributors|customers|developers|integrators|operators|reviewers|readers)\b")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    return [code for name, code in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


@each([page for page in PAGES if page.parent != ROOT], named)
def test_the_first_paragraph_of_a_page_says_for_whom_it_is(page):
    _title, paragraph, *_ = page.read_text(encoding="utf-8").split("\n\n")

    assert READERS.search(paragraph), paragraph


def test_the_pages_that_code_writes_are_marked_and_no_others():
    written = {reference_pages.REFERENCE / name for name in [*reference_pages.pages(), "benchmarks.md"]}

    assert {page for page in PAGES if "\n\n*Generated " in page.read_text(encoding="utf-8")} == written


@each(PAGES, named)
def test_code_of_a_page_can_be_read(page):
    for code in blocks(page, "python"):
        ast.parse(code)
    for code in blocks(page, "json"):
        json.loads(code)


@each(PAGES, named)
def test_commands_of_a_page_exist_with_their_options(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\bwebhooks_[a-z]+\b", text):
        assert get_commands().get(name) == "tms_webhooks", f"{name} is no command"
    for line in [*commands_of_shell(page), *re.findall(r"`manage\.py (webhooks_[^`]+)`", text)]:
        name, *arguments = shlex.split(line, comments=True)
        parser = load_command_class("tms_webhooks", name).create_parser("manage.py", name)
        known = {option for action in parser._actions for option in action.option_strings}
        assert {one for one in arguments if one.startswith("--")} <= known, line


def commands_of_shell(page):
    for code in blocks(page, "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            found = re.search(r"manage\.py (webhooks_.*?)(?: && .*| \| .*|)$", line)
            if found:
                yield found[1]


@each(PAGES, named)
def test_settings_of_a_page_exist(page):
    known = {setting.name for setting in conf.declared()}
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            match node:
                case ast.Assign(targets=[ast.Name(id=conf.SETTING_NAME)], value=ast.Dict(keys=keys)):
                    assert {key.value for key in keys if isinstance(key, ast.Constant)} <= known


@each(PAGES, named)
def test_links_of_a_page_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{named(page)} links to {target}"
        assert file not in COPIES, f"{named(page)} links to a copy; link to the page in the root"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{named(page)} links to {anchor}, which {named(file)} does not have"


def anchors(page):
    """Return the anchors of a page's headings, which GitHub and the site make in the same way, down to the third level."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in plain}


@pytest.mark.parametrize("name", ["gone.md", "index.md#gone", "#gone"])
def test_a_dead_link_is_found(tmp_path, monkeypatch, name):
    page = tmp_path / "index.md"
    page.write_text(f"# Index\n\n[lives](#index), [lives](index.md#index), [dead]({name})\n")
    monkeypatch.setattr("tests.acceptance.test_docs.ROOT", tmp_path)

    with pytest.raises(AssertionError, match=r"index\.md links to gone"):
        test_links_of_a_page_lead_somewhere.__wrapped__(page)


@each(PAGES, named)
def test_files_that_a_page_names_are_there(page):
    # A changelog speaks of what was.
    if page.name == "CHANGELOG.md":
        return
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    paths = re.findall(r"`((?:\.ci|docs|example_project|tests|tms_webhooks)/[\w./-]+)`", text)
    if page.name == "package_layout.md":
        rows = "\n".join(line for line in text.splitlines() if line.startswith("- `"))
        paths += [
            f"tms_webhooks/{path}" for path in re.findall(r"`((?!tests/|docs/|example_project/)[\w/]+\.py)`", rows)
        ]

    assert [path for path in paths if not (ROOT / path).exists()] == []
