"""The page that explains why an event was not sent, for the user's own webhooks and events only."""

from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, Event, Webhook


def explain_url(webhook):
    return reverse("admin:tms_webhooks_webhook_explain", args=[webhook.public_id])


def explanation_text(client, webhook, event):
    return shown_at(client, explain_url(webhook), {"event": event.public_id})


def test_an_event_without_a_matching_subscription_says_so(operator):
    webhook = subscribed(events=["user.*"])
    event = write_event(webhook.organization, "class.cancelled")

    text = explanation_text(operator, webhook, event)

    assert "The webhook has no delivery of this event, and the event does not match now." in text
    assert "No user.* does not include this event type." in text
    assert "Yes The webhook is enabled." in text


def test_a_sent_event_links_to_its_delivery(operator):
    delivery = write_delivery(subscribed(), now=timezone.now())

    response = operator.get(explain_url(delivery.webhook), {"event": delivery.event.public_id})

    assert "The webhook has a delivery of this event: Pending." in text_of(response)
    assert url(Delivery, "change", delivery.public_id) in response.content.decode()


def test_an_event_is_found_by_what_people_know_and_the_newest_is_explained(operator):
    webhook = subscribed(events=["user.*"])
    old, new = (write_event(webhook.organization, "class.cancelled") for _ in range(2))
    about = {"subject_id": "9", "external_id": "CLS-7", "subject_name": "Azure basics", "occurred_at": timezone.now()}
    for number, event in enumerate((old, new), start=7):
        Event.objects.filter(pk=event.pk).update(**about, sequence=number)

    for term in ("class:9", "9", "CLS-7", "azure", new.public_id):
        response = operator.get(explain_url(webhook), {"event": term})
        assert response.context["events"][0][0] == new
        assert (f'href="?event={old.public_id}"' in response.content.decode()) == (term != new.public_id)
    for term in ("nothing like it", "evt_" + "0" * 32, "<b>"):
        assert f"No event whose payload you may view matches “{term}”." in shown_at(
            operator, explain_url(webhook), {"event": term}
        )


def test_events_and_webhooks_of_other_organizations_are_not_found(alice):
    ours, theirs = subscribed(organization=alice.organization), subscribed()
    event = write_event(theirs.organization)

    assert "No event whose payload you may view matches" in explanation_text(alice, ours, event)
    assert alice.get(explain_url(theirs), {"event": event.public_id}).status_code == 404


def test_the_page_is_linked_where_the_user_may_view_payloads(alice, deny):
    ours = subscribed(organization=alice.organization)
    theirs = subscribed(organization=OrganizationFactory(parent=alice.organization))
    deny(Action.VIEW_PAYLOAD, below=True)
    event, other = write_event(ours.organization), write_event(theirs.organization)

    def page(model, name, row):
        return alice.get(url(model, name, row.public_id)).content.decode()

    assert explain_url(ours) in page(Webhook, "overview", ours)
    assert explain_url(theirs) not in page(Webhook, "overview", theirs)
    assert explain_url(ours) in page(Event, "change", event)
    assert explain_url(theirs) not in page(Event, "change", event)
    assert explain_url(ours) not in page(Event, "change", other)
    assert alice.get(explain_url(theirs)).status_code == 403
