"""The length of sentences: in the documents, and in the docstrings, comments and messages of the package.

A sentence is part of one paragraph, list item, heading or table cell. Code blocks are left out, inline code counts as
one word, and so does each text between spaces that has a letter or a digit.
"""

import ast
import inspect
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import tms_webhooks
from tests.claims import ROOT, pages

MOST_WORDS = 25
PACKAGE = Path(tms_webhooks.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "migrations")
MARKING = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_SENTENCE_END = re.compile(r"""(?<=[.!?])["')”]*\s+(?=[^a-z\s])""")
# Stands for a space of inline code, until the sentence is printed.
_CODE_SPACE = "\0"
# An argument or an error in the sections of a docstring.
_SECTION_ENTRY = re.compile(r"^ {4}(?=\w+(?:, \w+)*: )", re.MULTILINE)


def sentences(markdown):
    """Yield each sentence of a text, with the number of the line on which it begins."""
    for token in _MARKDOWN.parse(markdown):
        if token.type == "inline":
            text = "".join(map(_text, token.children))
            borders = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
            for start, end in pairwise(borders):
                yield token.map[0] + 1 + text.count("\n", 0, start), text[start:end]


def _text(token):
    if token.type == "code_inline":
        return f"`{_CODE_SPACE.join(token.content.split())}`"
    return "\n" if token.type in {"softbreak", "hardbreak"} else token.content


def long_sentences(markdown, *, first=1):
    """Yield line, number of words and text of each sentence that is too long. ``first`` is the number of the first line."""
    for line, sentence in sentences(markdown):
        count = sum(any(map(str.isalnum, word)) for word in sentence.split())
        if count > MOST_WORDS:
            yield f"{first - 1 + line}: {count} words: {' '.join(sentence.split()).replace(_CODE_SPACE, ' ')}"


def prose(source):
    """Yield the docstrings, the messages and the comments of a module, each with the number of its first line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, _SECTION_ENTRY.sub("- ", inspect.cleandoc(node.value.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKING:
            texts = (one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str))
            yield from ((node.lineno, text) for text in texts)
    yield from _comments(source)


def _comments(source):
    """Yield the comments of a module. Those on lines below each other are one text, but not those after code."""
    first, following, lines = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            number, is_alone = token.start[0], token.line.lstrip().startswith("#")
            if number != following or not is_alone:
                yield first, "\n".join(lines)
                first, lines = number, []
            following = number + 1 if is_alone else 0
            lines.append(token.string.lstrip("#:").removeprefix(" "))
    yield first, "\n".join(lines)


def test_sentences_of_documents_are_short():
    found = [f"{page.relative_to(ROOT)}:{one}" for page in pages() for one in long_sentences(page.read_text())]

    assert not found, f"A sentence has at most {MOST_WORDS} words:\n" + "\n".join(found)


def test_sentences_of_the_package_are_short():
    found = [
        f"{path.relative_to(ROOT)}:{one}"
        for path in MODULES
        for line, text in prose(path.read_text())
        for one in long_sentences(text, first=line)
    ]

    assert not found, f"A sentence has at most {MOST_WORDS} words:\n" + "\n".join(found)


LONG = " ".join(["Word"] * (MOST_WORDS + 1))
HALF = LONG[50:]


@pytest.mark.parametrize(
    "markdown, lines",
    [
        (f"# Title\n\nShort. {LONG}.", [3]),
        (f"Short\nsentence.\n{LONG}.", [3]),
        (f"- short\n- {LONG}\n", [2]),
        (f"| a | b |\n|---|---|\n| short | {LONG} |\n", [3]),
        (f"[{LONG}](page.md)", [1]),
        (LONG[5:], []),
        (f"{HALF}. `code` {HALF}.", []),
        (f"| a | b |\n|---|---|\n| {HALF} | {HALF} |\n", []),
        (f"```sh\n{LONG}\n```\n", []),
        (f"Run `{LONG}` – or not.", []),
    ],
)
def test_a_long_sentence_of_a_document_is_found_with_its_line(markdown, lines):
    assert [int(one.partition(":")[0]) for one in long_sentences(markdown)] == lines


@pytest.mark.parametrize(
    "source, lines",
    [
        (f'x = 1\n"""Short.\n\n{LONG}.\n"""\n', [4]),
        (f'def run():\n    """Run.\n\n    Args:\n        name: {LONG}.\n    """\n', [5]),
        (f'raise ValueError(_("{LONG}."))\n', [1]),
        (f"x = 1\n# Word\n# {LONG}.\n", [2]),
        (f'x = "{LONG}."\n', []),
        (f"# {HALF}\nx = 1  # {HALF}\ny = 1  # {HALF}\n# {HALF}\n", []),
    ],
)
def test_a_long_sentence_of_a_module_is_found_with_its_line(source, lines):
    found = [one for first, text in prose(source) for one in long_sentences(text, first=first)]

    assert [int(one.partition(":")[0]) for one in found] == lines
