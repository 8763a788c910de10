"""A form with an input of hostile size is refused quickly, with its error at the field."""

import pytest

from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, text_of, url
from tms_webhooks.admin.forms.credentials import LONGEST_HEADERS
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Webhook


@pytest.fixture
def posted(operator):
    """Post the form of a webhook with these fields, which are wrong; return the text of the page."""

    def posted(**values):
        webhook = WebhookFactory(events=[])
        form = form_of(webhook, **values)
        response = operator.post(url(Webhook, "change", webhook.public_id), form)
        assert response.status_code == 200
        return text_of(response)

    return posted


def test_header_lines_beyond_the_limit_are_not_read(posted, monkeypatch):
    monkeypatch.setattr(
        "tms_webhooks.admin.forms.webhook.unmask", lambda *_args, **_kwargs: pytest.fail("They were read.")
    )

    text = posted(headers="X-Key=v\n" * 100_000)

    assert f"Ensure this value has at most {LONGEST_HEADERS} characters" in text


def test_many_header_lines_are_refused_by_their_number(posted):
    text = posted(headers="\n".join(f"X-{number}=v" for number in range(1_000)))

    assert "1000 headers are too many; the limit is 50. Remove some." in text


@pytest.mark.parametrize(
    "values", [{"url": "https://e.com/" + "{data.id}" * 50_000}, {"content": "{data.id} " * 50_000}]
)
def test_a_template_beyond_the_limit_is_not_parsed(posted, monkeypatch, values):
    monkeypatch.setattr(rendering, "problems_of", lambda *_args: pytest.fail("It was checked."))

    assert "Ensure this value has at most" in posted(format="custom", **values)
