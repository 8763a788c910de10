"""The page on filters shows subscriptions that can be saved, and names every filter and comparison there is."""

import json
import re
from pathlib import Path

import pytest

from tests.factories import WebhookFactory
from tms_webhooks.choices import ActorKind, Audience
from tms_webhooks.filters import criteria, parsing
from tms_webhooks.filters.condition import COMPARISONS
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE, PATHS
from tms_webhooks.models import Subscription

PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "filters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONDITIONS = [found for found in re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE) if "…" not in found]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_can_be_saved(block):
    Subscription(webhook=WebhookFactory(), **json.loads(block)).full_clean()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_comparison_that_is_shown_means_something(condition):
    (path,) = json.loads(condition)
    event_type = "class.updated" if path == "changed" else "enrollment.*"

    Subscription(webhook=WebhookFactory(), event_type=event_type, condition=json.loads(condition)).full_clean()


def test_every_filter_is_documented():
    assert (len(BLOCKS), len(CONDITIONS)) == (3, 5)
    for name in (*PATHS, FIRST_OCCURRENCE, *COMPARISONS, *ActorKind.values, *Audience.values):
        assert f"`{name}`" in PAGE, name
    text = " ".join(PAGE.split())
    assert f"A filter has at most {criteria.VALUES_LIMIT} values" in text
    assert f"a condition at most {parsing.PARTS_LIMIT} parts and {parsing.VALUES_LIMIT:,} values in its lists" in text
    assert f"up to {parsing.DEEPEST} levels deep" in text
