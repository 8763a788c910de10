"""The preview shows the request that the form would lead to, with a sample, and saves nothing."""

import pytest
from django.urls import reverse

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import form_of, text_of
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Webhook


@pytest.fixture
def preview(operator):
    """Post the form of a new webhook, or of one that is there, for a preview; return it and the page."""

    def preview(webhook=None, **values):
        name = "preview" if webhook is None else "preview_of"
        address = reverse(f"admin:tms_webhooks_webhook_{name}", args=[] if webhook is None else [webhook.public_id])
        if webhook is None:
            values = {"organization": OrganizationFactory().pk, **values}
        response = operator.post(address, form_of(webhook, **values), headers={"X-Requested-With": "fetch"})
        return response.context["preview"], response

    return preview


def test_a_page_of_its_own_names_the_event(operator):
    form = form_of(organization=OrganizationFactory().pk, events=["class.cancelled"])
    response = operator.post(reverse("admin:tms_webhooks_webhook_preview"), form)

    page = text_of(response)
    assert "The request for the event class.cancelled, from the values in your form. Nothing was saved." in page
    assert "Continue in the tab of the form." in page


def test_tokens_are_filled_in_and_those_of_the_chosen_events_are_offered(preview):
    found, response = preview(
        format="custom",
        content="grade {data.grade}",
        url="https://crm.example.com/{data.id}",
        events=["enrollment.failed"],
    )

    assert (found.url, found.body) == ("https://crm.example.com/70031", "grade 41")
    page = text_of(response)
    assert "{data.grade}" in page
    assert "{data.redeemed_at}" not in page


def test_a_body_that_can_not_be_built_is_reported(preview):
    found, response = preview(url="https://{data.id}.example.com/")

    assert found.problem.startswith("URL: tokens are not allowed in the scheme, host or port")
    assert found.problem in text_of(response)


def test_nothing_is_saved_and_no_header_is_shown(preview):
    webhook = subscribed(headers="Authorization=Basic hunter2")
    before = Webhook.objects.values().get()

    _found, response = preview(webhook, name="Renamed", headers="Authorization=••••\nX-Key=s3cret")

    assert "hunter2" not in response.content.decode()
    assert "s3cret" not in response.content.decode()
    assert Webhook.objects.values().get() == before
    assert "no-store" in response["Cache-Control"]
