"""The page that explains why an event was not sent, for the user's own webhooks and events only."""

import json
import re

from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import body_of, name_event, subscribed, write_delivery, write_event
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, Event, Webhook

COURSE = json.loads(body_of("enrollment.enrolled"))["data"]["course"]["name"]


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


def test_an_object_is_found_by_what_people_know_and_each_of_its_events_has_its_reason(operator):
    webhook = subscribed(events=["user.*"])
    old, new = (write_event(webhook.organization, "class.cancelled") for _ in range(2))
    about = {"subject_id": "9", "external_id": "CLS-7", "occurred_at": timezone.now()}
    for number, event in enumerate((old, new), start=7):
        name_event(event, "Azure basics", **about, sequence=number)

    for term in ("class:9", "9", "CLS-7", "azure", new.public_id):
        response = operator.get(explain_url(webhook), {"event": term})
        answers = [(answer[0], answer[3].sentence) for answer in response.context["answers"]]
        reason = "user.* does not include this event type."
        assert answers == [(event, reason) for event in ([new] if term == new.public_id else [new, old])]
        assert text_of(response).count(reason) == 2
        assert (f'href="?event={old.public_id}"' in response.content.decode()) == (term != new.public_id)
        assert url(Webhook, "change", webhook.public_id) in response.content.decode().partition("tms-verdict")[2]
    for term in ("nothing like it", "evt_" + "0" * 32, "<b>"):
        assert f"No event whose payload you may view matches “{term}”." in shown_at(
            operator, explain_url(webhook), {"event": term}
        )


def test_a_filter_and_the_event_are_compared_in_names_with_a_link_to_the_filter(operator, staff):
    webhook = subscribed(events=[])
    organization = webhook.organization
    wanted = ClassEnrollmentFactory(training_class__organization=organization, training_class__course__name="Azure")
    course = wanted.training_class.course
    filters = {"course": [course.pk, 0], "status_to": ["Cancel"]}
    subscription = webhook.subscriptions.create(event_type="enrollment.enrolled", filters=filters)
    event = write_event(organization, "enrollment.enrolled")
    link = f"{url(Webhook, 'change', webhook.public_id)}?filters={subscription.public_id}#line-{subscription.public_id}"

    response = operator.get(explain_url(webhook), {"event": event.public_id})

    assert f"Not met: course is 0 or Azure; this event's course is {COURSE}." in text_of(response)
    assert "Not met: status after is Cancel; this event's status after is Enroll." in text_of(response)
    assert f'href="{link}">Change the filter</a>' in response.content.decode()
    type(course).objects.update(name=COURSE)
    same = f"Not met: course is 0 or {COURSE}; this event's course is {COURSE} (301)."
    assert same in explanation_text(operator, webhook, event)
    type(course).objects.update(name="Azure")
    looking = staff("view_webhook", "view_event").get(explain_url(webhook), {"event": event.public_id})
    assert "Not met: course is 0 or Azure" in text_of(looking)
    assert link not in looking.content.decode()


def test_a_condition_is_compared_with_the_values_of_the_event(operator):
    webhook = subscribed(events=[])
    condition = {"data.user.first_name": "Bob", "data.course.id": 301}
    webhook.subscriptions.create(event_type="enrollment.enrolled", condition=condition)
    event = write_event(webhook.organization, "enrollment.enrolled")

    text = explanation_text(operator, webhook, event)

    assert "Not met: data.user.first_name is Bob; this event's data.user.first_name is Alice." in text
    assert "Met: data.course.id is 301." in text
    page = shown_at(operator, url(Event, "change", event.public_id))
    assert "this event's data.user.first_name is Alice." in page


def test_of_several_subscriptions_to_other_events_no_single_one_is_the_reason(operator):
    webhook = subscribed(events=["user.*", "voucher.*"])
    event = write_event(webhook.organization, "class.cancelled")

    text = explanation_text(operator, webhook, event)

    assert "No subscription includes this event type. Change the events" in text


def test_an_empty_log_of_a_webhook_leads_to_the_reasons(operator):
    webhook = subscribed(events=["user.*"])
    event = write_event(webhook.organization, "class.cancelled")
    name_event(event, "Azure basics", occurred_at=timezone.now())

    def found(**query):
        page = operator.get(url(Delivery, "changelist"), {"q": "azure", **query}).content.decode()
        return re.findall(r'1 event matches. <a href="([^"]*)">See why it was not sent', page)

    assert found(webhook=webhook.public_id) == [f"{explain_url(webhook)}?event=azure"]
    assert found() == [f"{url(Event, 'changelist')}?q=azure"]


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
