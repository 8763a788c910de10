"""Each claim of the documents links to tests that exist, and each promise of the README says its limits."""

import re

import pytest

from tests.claims import ROOT, LinkedTest, claims_of, is_slow, main, mistakes, pages
from tests.each import each

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^\| \*\*.*$", README.split("\n## Promises\n")[1].split("\n## ")[0], re.MULTILINE)
NAMES = [row.split("**")[1].rstrip(".,:") for row in PROMISES]
HERE = "tests/unit/test_claims.py"


def planted(tmp_path, text):
    """Return the mistakes of a page below the root with this text."""
    page = tmp_path / "page.md"
    page.write_text(text)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return [sentence for claim in claims_of(page) for sentence in mistakes(claim)]


@each(pages())
def test_each_claim_of_a_page_links_to_tests_that_exist(page):
    assert [sentence for claim in claims_of(page) for sentence in mistakes(claim)] == []


def test_each_promise_of_the_readme_has_limits_and_a_test():
    rows = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in PROMISES]
    tested = [claim.text for claim in claims_of(ROOT / "tests" / "claims.md")]

    assert len(rows) == len(tested) >= 15
    assert [row[0] for row in rows if len(row) != 2 or not row[1]] == []
    assert [name for name in NAMES if not any(text.startswith(name) for text in tested)] == []


def test_a_run_of_all_tests_has_a_test_of_each_promise():
    promises = claims_of(ROOT / "tests" / "claims.md")

    assert [promise.text for promise in promises if all(map(is_slow, promise.tests))] == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("pytestmark = pytest.mark.slow\n\n\ndef test_a(): ...\n", True),
        ("pytestmark = [\n    pytest.mark.slow,\n    other,\n]\n\n\ndef test_a(): ...\n", True),
        ("@pytest.mark.slow\n@each(\n    VALUES,\n)\ndef test_a(): ...\n", True),
        ("pytestmark = other\n\n\n@pytest.mark.slow\ndef test_b():\n    pass\n\n\ndef test_a(): ...\n", False),
    ],
    ids=["module", "list of the module", "function", "another function"],
)
def test_a_test_is_slow_by_the_mark_of_its_module_or_its_own(tmp_path, text, expected):
    path = tmp_path / "test_some.py"
    path.write_text(text)

    assert is_slow(LinkedTest(path, "test_a")) is expected


def test_the_command_lists_each_promise(capsys):
    assert main() == 0

    printed = " ".join(capsys.readouterr().out.split())
    assert [name for name in NAMES if name not in printed] == []


@pytest.mark.parametrize(
    "link, reason",
    [
        ("tests/unit/test_gone.py#test_a", "which does not exist."),
        (f"{HERE}#test_gone", "links to test_gone, which test_claims.py does not have."),
        (HERE, "Name one of its functions after a '#'."),
    ],
)
def test_a_claim_whose_test_is_gone_is_a_mistake(tmp_path, link, reason):
    (sentence,) = planted(tmp_path, f"- First.\n- Nothing is lost ([test]({link})).\n")

    assert sentence.startswith("page.md: 'Nothing is lost")
    assert sentence.endswith(reason)


def test_a_claim_is_the_row_item_or_paragraph_of_its_link_and_code_makes_none(tmp_path):
    link = f"[test]({HERE}#planted)"
    text = f"Before.\n\n| One | limits | {link} |\n| Two | limits | none |\n\n- Three\n  goes on {link}\n- Four\n\n```\n{link}\n```\n"

    assert planted(tmp_path, text) == []
    assert [claim.text for claim in claims_of(tmp_path / "page.md")] == ["One | limits", "Three goes on"]
