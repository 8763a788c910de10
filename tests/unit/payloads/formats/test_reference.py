"""The examples in ``docs/reference/formats.md`` are the output of the code. After an intended change, write them again with::

python -m tests.goldens
"""

import json
import os
import re
from pathlib import Path

import pytest

from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import RequestFormat, render
from tms_webhooks.payloads.formats.check import check
from tms_webhooks.payloads.formats.custom import LONGEST_URL

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "formats.md"
WRITE_GOLDEN = "TMS_WEBHOOKS_WRITE_GOLDEN"
EXAMPLE = "<!-- example: {} -->\n```json\n"
EVENT_TYPE = "subscription.cancelled"


def content():
    return re.search(r"<!-- content: custom -->\n```\n(.*?)\n```", PAGE.read_text(), re.DOTALL)[1]


# The pages of the events have examples of the standard format, whose body the binary mode has, too.
@pytest.mark.parametrize("format_", [*{*PayloadFormat} - {PayloadFormat.STANDARD, PayloadFormat.CLOUDEVENTS_BINARY}])
def test_the_example_equals_the_request(format_):
    event_type = catalogue.get(EVENT_TYPE)
    shape = RequestFormat(format=format_, content=content(), url="https://example.com/")
    check(shape, [event_type])
    sent = json.loads(render(shape, event_type.example(), limit=262_144).body)
    if format_ == PayloadFormat.CLOUDEVENTS:
        # The page shows the standard event once.
        assert sent["data"] == event_type.example()
        sent["data"] = {name: sent["data"][name] for name in ("id", "type")}
    text = json.dumps(sent, indent=2, ensure_ascii=False)
    before, after = PAGE.read_text().split(EXAMPLE.format(format_.value))
    shown, end, rest = after.partition("```")
    if os.environ.get(WRITE_GOLDEN):
        PAGE.write_text(f"{before}{EXAMPLE.format(format_.value)}{text}\n{end}{rest}")
        return

    assert shown == f"{text}\n", "write it again with python -m tests.goldens"


def test_the_page_describes_every_choice():
    page = PAGE.read_text()
    for choice in PayloadFormat:
        assert f"### `{choice.value}`" in page
    for choice in PayloadDetail:
        assert f"| `{choice.value}` |" in page
    assert f"{LONGEST_URL:,} characters" in page
