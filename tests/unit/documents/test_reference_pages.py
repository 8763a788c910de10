"""The pages of the reference that are made of the code stand in the checkout, and are up to date."""

import json
import os
import re

import pytest

from tests.catalogue import only_canonical
from tests.reference_pages import COUNTS, PAGES, REFERENCE, STATUSES_OF, pages, write
from tms_webhooks import event_names
from tms_webhooks.catalogue.types import BUILT_IN

WRITE = os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN") == "1"


@pytest.fixture(scope="module")
def written():
    if WRITE:
        write()
    return dict(pages())


def test_each_page_is_as_the_code_makes_it(written):
    present = {name: (REFERENCE / name).read_text(encoding="utf-8") for name in written if (REFERENCE / name).exists()}
    outdated = [name for name, text in written.items() if present.get(name) != text]
    assert outdated == [], "Run python -m tests.goldens."


def test_every_value_of_a_status_has_a_meaning(written):
    rows = [line for line in written["statuses.md"].splitlines() if line.startswith("- `")]
    assert len(rows) > len(PAGES)
    assert [row for row in rows if row.endswith(": ")] == []


def completed(shown, whole, sample):
    """Return the sample that a reader takes from the values shown of it and the complete sample above."""
    found = {}
    for name, value in sample.items():
        if name not in shown:
            found[name] = whole[name]
        elif isinstance(value, dict) and shown[name] != value:
            found[name] = completed(shown[name], whole[name], value)
        else:
            found[name] = shown[name]
    return found


@only_canonical()
def test_a_sample_is_the_complete_one_of_its_noun_with_the_values_shown(written):
    for noun in {one.noun.name for one in BUILT_IN}:
        sections = re.split(r"^## (.*)$", written[f"events/{noun}.md"], flags=re.MULTILINE)[1:]
        blocks = dict(
            zip(
                sections[::2],
                (re.findall(r"^```json\n(.*?)^```$", one, re.M | re.S) for one in sections[1::2]),
                strict=True,
            )
        )
        of_every_noun = event_names.of_every_noun(noun)
        expected, *samples = (
            one.example() for one in BUILT_IN if one.noun.name == noun and one.name not in of_every_noun
        )
        whole = json.loads(*blocks.pop(expected["type"]))
        assert whole == expected
        assert list(blocks) == [sample["type"] for sample in samples]
        for sample in samples:
            if block := blocks[sample["type"]]:
                # The heading says the type.
                assert completed({**json.loads(*block), "type": sample["type"]}, whole, sample) == sample
            else:
                different = {name for name, value in sample["data"].items() if value != whole["data"][name]}
                assert different - COUNTS in STATUSES_OF, sample["type"]
