"""The pages of the reference that are made of the code stand in the checkout, and are up to date."""

from __future__ import annotations

import os

import pytest

from tests.reference_pages import FOLDERS, PAGES, REFERENCE, pages, write

WRITE = os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN") == "1"


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    if WRITE:
        write()
    return dict(pages())


def test_each_page_is_as_the_code_makes_it(written):
    present = {name: (REFERENCE / name).read_text(encoding="utf-8") for name in written if (REFERENCE / name).exists()}
    outdated = [name for name, text in written.items() if present.get(name) != text]
    assert outdated == [], "Run this test with TMS_WEBHOOKS_WRITE_GOLDEN=1."


def test_no_page_is_left_of_a_noun_that_is_gone(written):
    found = {f"{folder}/{file.name}" for folder in FOLDERS for file in (REFERENCE / folder).glob("*.md")}
    assert found == {name for name in written if "/" in name}


def test_every_value_of_a_status_has_a_meaning(written):
    rows = [line for line in written["statuses.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > len(PAGES)
    assert [row for row in rows if row.endswith("|  |")] == []
