"""A form with an input of hostile size is refused quickly, with its error at the field."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, text_of, url
from tms_webhooks import validators
from tms_webhooks.admin.forms import credentials as headers
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Webhook


@pytest.fixture
def posted(operator):
    """Post the form of a webhook with these fields, which are wrong; return the text of the page."""

    def posted(**values) -> str:
        webhook = WebhookFactory(events=[])
        form = form_of(webhook, **values)
        response = operator.post(url(Webhook, "change", webhook.public_id), form)
        assert response.status_code == 200
        return text_of(response)

    return posted


@pytest.mark.parametrize("line", ["x", "X-{}=v"])
def test_header_lines_beyond_the_limit_are_neither_read_nor_shown(posted, monkeypatch, line):
    read = []
    parse = validators._parse_line
    monkeypatch.setattr(validators, "_parse_line", lambda *args: read.append(1) or parse(*args))

    text = posted(headers="\n".join(line.format(number) for number in range(100_000)))

    assert f"Ensure this value has at most {headers.LONGEST_HEADERS} characters" in text
    assert len(read) <= headers.LONGEST_HEADERS


def test_many_header_lines_are_refused_by_their_number(posted):
    text = posted(headers="\n".join(f"X-{number}=v" for number in range(1_000)))

    assert "1000 headers are too many; the limit is 50. Remove some." in text


@pytest.mark.parametrize(
    "values", [{"url": "https://e.com/" + "{data.id}" * 50_000}, {"content": "{data.id} " * 50_000}]
)
def test_a_template_beyond_the_limit_is_not_parsed(posted, monkeypatch, values):
    monkeypatch.setattr(rendering, "problems_of", lambda *_args: pytest.fail("It was checked."))

    assert "Ensure this value has at most" in posted(format="custom", **values)
