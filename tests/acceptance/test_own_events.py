"""A developer adds fields, a noun and events of their own to a fresh project by the page alone."""

import json
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import Follower

pytestmark = [pytest.mark.slow, ONCE]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own-events.md"


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    follower = Follower(tmp_path_factory.mktemp("own_events"))
    follower.promised = follower.follow(PAGE)
    yield follower
    follower.close()


def test_every_step_works_and_prints_what_the_page_says(followed):
    (promised,) = followed.promised
    assert promised in followed.printed


def test_the_tests_of_the_page_pass(followed):
    assert "2 passed" in followed.printed[-1]


def test_the_documents_have_the_fields_and_the_noun(followed):
    page = (followed.folder / "certificates.md").read_text()
    assert "## Certificate" in page
    assert "### certificate.renewed" in page
    schema = json.loads((followed.folder / "user.updated.json").read_text())
    assert schema["properties"]["data"]["properties"]["custom"]["properties"]["department"] == {
        "type": ["string", "null"],
        "description": "Department of the user.",
    }
