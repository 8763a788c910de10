"""Every message has an id of its own, a meaning, a remedy and a test."""

import ast
import re
from pathlib import Path

import pytest
from django.core.checks import Tags, run_checks

import tms_webhooks
from tms_webhooks import checks
from tms_webhooks.apps import register_checks
from tms_webhooks.checks.messages import message
from tms_webhooks.conf import CHECKS_TAG, COMMAND_CHECKS

PACKAGE = Path(tms_webhooks.__file__).parent
PAGE = PACKAGE.parent / "docs" / "reference" / "checks.md"
MEANINGS = dict(re.findall(r"^- `tms_webhooks\.(\w+)`: (.*)$", PAGE.read_text(), re.MULTILINE))
TESTS = (Path(__file__).parent, Path(__file__).parents[2] / "integration" / "checks")


def raised_ids():
    """Yield the id at each place in the code that makes a message or raises a mistake."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.fullmatch(r"(?:tms_webhooks\.)?([EWI]\d{3})", node.value)
                if found:
                    yield found.group(1)


def test_each_id_is_raised_and_has_a_meaning():
    assert set(raised_ids()) == MEANINGS.keys()


def test_no_two_ids_share_a_number():
    numbers = [number[1:] for number in MEANINGS]
    assert sorted(set(numbers)) == sorted(numbers)


def test_each_meaning_is_a_sentence():
    assert [number for number, meaning in MEANINGS.items() if not re.fullmatch(r"\S.+\.", meaning)] == []


def test_each_id_is_asserted_by_a_test():
    texts = "\n".join(path.read_text() for folder in TESTS for path in folder.glob("test_*.py"))

    assert MEANINGS.keys() - set(re.findall(r"[\".]([EWI]\d{3})\b", texts)) == set()


@pytest.mark.parametrize("number, level", [("E031", 40), ("W047", 30), ("I053", 20)])
def test_the_first_letter_is_the_level(number, level):
    made = message(number, "What is wrong.", hint="What to do.", obj="who")
    assert (made.level, made.id, made.msg, made.hint) == (
        level,
        f"tms_webhooks.{number}",
        "What is wrong.",
        "What to do.",
    )
    assert str(made) == f"who: (tms_webhooks.{number}) What is wrong.\n\tHINT: What to do."


def test_the_checks_can_be_run_alone_by_their_tag():
    assert run_checks(tags=[CHECKS_TAG]) == []


@pytest.mark.parametrize(
    "tag, deploy, groups",
    [
        (CHECKS_TAG, False, {"work"}),
        (COMMAND_CHECKS, False, {"work"}),
        (CHECKS_TAG, True, {"work", "deploy"}),
        (Tags.database, False, {"rows"}),
    ],
)
def test_each_check_runs_at_its_occasions(monkeypatch, tag, deploy, groups):
    ran = []
    noted = {group: [lambda group=group, **_: ran.append(group) or []] for group in checks.GROUPS}
    monkeypatch.setattr(checks, "GROUPS", noted)
    # As when an app becomes ready again, with other apps installed.
    register_checks()

    run_checks(tags=[tag], include_deployment_checks=deploy)

    assert sorted(ran) == sorted(groups)
