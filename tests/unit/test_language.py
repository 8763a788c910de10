"""The words of the documentation and of the code: a list of words that must not come back, and one meaning for each class name.

Read are the package (names, comments, docstrings, messages, templates, scripts and styles), the documentation and the
example project. Messages are read where they are written, so the translation catalogue needs no reading of its own.
"""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import tms_webhooks

PACKAGE = Path(tms_webhooks.__file__).parent
ROOT = PACKAGE.parent
READ_SUFFIXES = {".py", ".html", ".js", ".css", ".txt", ".md"}

# Regular expressions, matched as whole words without regard to case. A space matches any gap, also a line break.
WRITE_INSTEAD = {
    "tell|tells|told|telling": "emit an event, record a row, notify a person, report a problem",
    "nobody|somebody|anybody|whoever|those who": "the actor: a user, the caller, a subscriber, the receiver",
    "parcels?": "outgoing request",
    "lanes?": "priority, or endpoint queue",
    "mailbox(?:es)?": "result queue",
    "unwritten": "pending results",
    "appetites?": "prefetch",
    "pace": "polling",
    "rings?|rung|ringing|bells?": "wake up, wake-up",
    "trials?": "test send",
    "alarms?": "notification",
    "upkeep": "sweep",
    "standing": "health text",
    "addressees?": "recipients",
    "narrowed": "filtered",
    "portable": "configuration files",
    "flying|under way|underway|in hand": "in flight",
    "beside": "the relation: next to, in addition to, concurrently with",
    "meanwhile": "the relation: while, until then",
    "in turn": "the relation: per webhook, one after the other",
    "at home": "belongs to",
    "of what": "a noun",
    r"what (?:is|was|are|were)\b(?! wrong)(?![^.!;:]{0,100}\?)": "a noun: missed events, due deliveries, the change",
    "there (?:is|are|was|were) (?:no|none|nothing)": "the subject: 'Webhook 5 does not exist', 'it has no …'",
    "that there (?:is|are) not": "unknown",
    "concerned": "match, are affected",
    "at once": "immediately, together, at a time",
    "present (?:state|ones?|keys|secrets?|settings|batch|time|rows|values)|at present": "current, now",
    "by hand": "manually, a user",
    "all the same|just the same": "anyway",
    "go on|goes on|going on": "continue",
    "anew": "again",
    "for good": "permanently",
    "taken? back": "undone, returned",
    "in force": "that applies",
    "(?:the )?same goes": "the same applies",
    "reckon(?:s|ed|ing)?": "compute, calculate",
    "heeds?|heeded": "obey, ignore",
    "so many (?:seconds|rows|deliveries|events)|at (?:most|least) so many": "this many, this number of",
    "thereby|hereby|thereof|whereby|whence": "a verb or a new sentence",
}
CLASS_NAMES_TO_AVOID = frozenset(
    {"Closing", "Foreseen", "Firsts", "Obstacle", "Occasion", "Trouble", "Want", "Way", "Home", "Listed", "Kept"}
)


# Django finds these by their names, in each class or module of its kind.
NAMES_OF_DJANGO = frozenset({"Meta", "Media", "Command", "Migration"})

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# The end of a line and what leads the next one: a comment, a quotation or the rest of a string.
_LINE_BREAK = re.compile(r"""["']?[ \t]*\n[ \t]*(?:\#:?|//|[*>]|[fr]{0,2}["'])?""")
# The names of tests are not read, also where a document links to one.
_TEST_LINK = re.compile(r"\]\([^)\s]*tests/[^)\s]*\)")
_PATTERNS = {
    re.compile(rf"\b(?:{words})".replace(" ", r"\s+") + r"(?!\w)", re.IGNORECASE): instead
    for words, instead in WRITE_INSTEAD.items()
}


def words_to_replace(text):
    """Yield line number, word and replacement for each word of the list, also those within identifiers."""
    plain = _LINE_BREAK.sub("\n", _WORD_START.sub(" ", text.replace("_", " ")))
    for pattern, instead in _PATTERNS.items():
        for match in pattern.finditer(plain):
            yield plain.count("\n", 0, match.start()) + 1, " ".join(match.group().split()), instead


def violations(path, text):
    """Yield a sentence for each word of the list in a file, with file and line."""
    lines = text.splitlines()
    for number, word, instead in sorted(words_to_replace(text)):
        yield f"{path}:{number}: {word!r} in {lines[number - 1].strip()[:120]!r}; write {instead}"
    if path.suffix == ".py":
        for name, number in _class_lines(text):
            if name in CLASS_NAMES_TO_AVOID:
                yield f"{path}:{number}: class {name}; write the noun that a Django developer would guess"


@cache
def texts():
    """Return the text of each file that is read, by its path from the root."""
    roots = [PACKAGE, ROOT / "docs", ROOT / "example_project"]
    paths = [*ROOT.glob("*.md"), *(path for root in roots for path in root.rglob("*"))]
    return {
        path.relative_to(ROOT): _TEST_LINK.sub("]()", path.read_text()) if path.suffix == ".md" else path.read_text()
        for path in sorted(paths)
        if path.suffix in READ_SUFFIXES and "_build" not in path.parts
    }


@cache
def rooms():
    """Return the files by room: a folder of the package, the rest of the package, or another top folder."""
    found = defaultdict(dict)
    for path, text in texts().items():
        room = "/".join(path.parts[: 2 if path.parts[0] == PACKAGE.name and len(path.parts) > 2 else 1])
        found[room if path.suffix != ".md" else "docs"][path] = text
    return found


@pytest.mark.parametrize("room", sorted(rooms()))
def test_no_word_of_the_list_comes_back(room):
    found = [sentence for path, text in rooms()[room].items() for sentence in violations(path, text)]

    assert not found, f"{len(found)} words to replace:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "planted, number, word",
    [
        ("class ToldState: ...\n", 1, "Told"),
        ('"""First.\n\nIt is under\nway."""\n', 3, "under way"),
        ("# They are sent in\n# turn.\n", 1, "in turn"),
        ('text = (\n    "Replay what "\n    "was missed"\n)\n', 2, "what was"),
        ("HTTPLane = 1\n", 1, "Lane"),
        ('raise ValueError("There is no such webhook.")\n', 1, "There is no"),
        ("class Closing: ...\n", 1, "Closing"),
    ],
)
def test_a_planted_word_is_found_with_its_line(tmp_path, planted, number, word):
    path = tmp_path / "planted.py"
    path.write_text(planted)

    (sentence,) = violations(path, path.read_text())

    assert sentence.startswith(f"{path}:{number}: ")
    assert word in sentence.split("; write ")[0]
    assert sentence.split("; write ")[1]


def test_words_that_only_look_alike_pass():
    text = (
        "self_paced = string.strip()  # planes, Standard, besides, turning. What is a webhook? It says what is wrong.\n"
    )

    assert list(violations(Path("fine.py"), text)) == []


@cache
def _class_lines(text):
    return [(node.name, node.lineno) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]


def test_each_class_name_has_one_meaning():
    lines = defaultdict(list)
    for path, text in texts().items():
        if path.suffix == ".py" and path.parts[0] == PACKAGE.name:
            for name, number in _class_lines(text):
                lines[name].append(f"{path}:{number}")
    twice = {name: places for name, places in lines.items() if len(places) > 1 and name not in NAMES_OF_DJANGO}

    assert not twice, "\n".join(f"class {name}: {', '.join(places)}; rename one" for name, places in twice.items())
