"""The claims of the documents, each with the tests that hold it.

    python -m tests.claims

prints them; `claims.md` has those of the README. A claim is a paragraph, a list item or a table row with a link to a test function, such as
`[killed](tests/scenarios/test_worker_killed.py#test_workers_that_are_killed_one_after_the_other_lose_nothing)`.
"""

import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
# Between two statements: an empty line, or the beginning of a row, a list item or a heading.
_BORDER = re.compile(r"\n\s*\n|\n(?=\s*(?:\||[-*] |\d+\. |#))")
_TEST_LINK = re.compile(r"\[[^\]]*\]\(((?:[\w.-]+/)*tests/[\w./]+\.py)(?:#(\w+))?\)")
_ANY_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class LinkedTest:
    """A link to a test: its file, and the function after the `#`, which is empty without one."""

    path: Path
    function: str

    def __str__(self):
        """Return the test as pytest writes it, with the path from the root."""
        return f"{self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path}::{self.function}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of a page with its tests."""

    page: Path
    text: str
    tests: tuple[LinkedTest, ...]


def pages():
    """Return the documents that may make claims."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests" / "claims.md"])


def claims_of(page):
    """Yield the statements of a page that link to tests, in their order."""
    for statement in _BORDER.split(_CODE.sub("", page.read_text(encoding="utf-8"))):
        tests = tuple(
            LinkedTest((page.parent / path).resolve(), function or "")
            for path, function in _TEST_LINK.findall(statement)
        )
        if tests:
            yield Claim(page, _plain(statement), tests)


def mistakes(claim):
    """Yield a sentence for each test of a claim that does not exist."""
    for test in claim.tests:
        where = f"{claim.page.name}: {claim.text[:60]!r}"
        if not test.path.exists():
            yield f"{where} links to {test.path}, which does not exist."
        elif not test.function:
            yield f"{where} links to {test.path.name}. Name one of its functions after a '#'."
        elif not re.search(rf"^ *def {test.function}\(", test.path.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{where} links to {test.function}, which {test.path.name} does not have."


def is_slow(test):
    """Return whether a run of all tests leaves this one out, by the mark of its module or of the function itself."""
    tree = ast.parse(test.path.read_text(encoding="utf-8"))
    marks = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == test.function:
            marks += node.decorator_list
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks += node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return "pytest.mark.slow" in map(ast.unparse, marks)


def _plain(statement):
    without_links = _ANY_LINK.sub(r"\1", _TEST_LINK.sub("", statement))
    without_marks = re.sub(r"\*\*|`", "", without_links).strip(" |-*\n")
    return re.sub(r"[\s,|]+$", "", " ".join(without_marks.split()))


def main():
    """Print each claim with its tests, and then the mistakes. Return 1 if a test does not exist."""
    claims = [claim for page in pages() for claim in claims_of(page)]
    for claim in claims:
        print(f"\n{claim.page.relative_to(ROOT)}")
        print(textwrap.fill(claim.text, 116, initial_indent="  ", subsequent_indent="  "))
        for test in claim.tests:
            print(f"    {test}")
    wrong = [sentence for claim in claims for sentence in mistakes(claim)]
    print(f"\n{len(claims)} claims, {sum(len(claim.tests) for claim in claims)} links to tests, {len(wrong)} mistakes")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
