"""`explain` gives the reasons why a webhook receives an event or not; a dry run finds the stored events that match."""

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import body_of, new_event, subscribed, write_event
from tests.patience import PATIENCE
from tms_webhooks.choices import CheckResult, DeliveryStatus
from tms_webhooks.models import Delivery, Event, FirstOccurrence, Subscription
from tms_webhooks.models.event import OUTSIDE_THE_FEED
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.routing import subscription_rules
from tms_webhooks.routing.explain import dry_run, explain


def enrolled(webhook, **values):
    return write_event(webhook.organization, "enrollment.enrolled", **values)


def clauses_of(webhook, event):
    """Return verdict and sentence by the names of the clauses; of several with a name the last."""
    clauses = explain(webhook, event).clauses
    assert all(clause.sentence.endswith(".") for clause in clauses)
    return {clause.name: (clause.verdict, clause.sentence) for clause in clauses}


def test_an_event_that_goes_out_has_only_reasons_for_it():
    webhook = subscribed(events=["enrollment.*"])

    explanation = explain(webhook, enrolled(webhook))

    assert (explanation.verdict, explanation.delivery) == (CheckResult.YES, None)
    assert [(clause.name, clause.verdict, clause.sentence) for clause in explanation.clauses] == [
        ("audience", "yes", "The webhook receives events of the organization's own objects. This is one of them."),
        ("enabled", "yes", "The webhook is enabled."),
        ("event_type", "yes", "enrollment.* includes this event type."),
    ]
    assert explanation.clauses[-1].subscription_id == webhook.subscriptions.get().pk


def test_a_disabled_webhook_holds_it_back():
    webhook = subscribed(enabled=False)

    explanation = explain(webhook, enrolled(webhook))

    assert explanation.verdict == CheckResult.HELD
    assert clauses_of(webhook, enrolled(webhook))["enabled"][1] == (
        "The webhook is disabled. No reason was recorded. New events are kept as skipped. After you enable the webhook, send "
        "the missed events."
    )


@pytest.mark.parametrize(
    "values, name, words",
    [
        ({"deleted_at": timezone.now()}, "deleted", "The webhook was deleted."),
        ({"audience": "learner"}, "audience", "events of the organization's learners. This is not one of them."),
        ({"events": ["class.*"]}, "event_type", "class.* does not include this event type."),
        ({"events": []}, "subscription", "The webhook has no subscriptions."),
    ],
)
def test_each_reason_against_it_has_its_sentence(values, name, words):
    webhook = subscribed(**values)
    event = enrolled(webhook)

    assert explain(webhook, event).verdict == CheckResult.NO
    assert clauses_of(webhook, event)[name][0] == CheckResult.NO
    assert words in clauses_of(webhook, event)[name][1]


@pytest.mark.parametrize("skipped", [{}, {"skip_own": True, "integration_kind": "system", "integration_id": "job"}])
def test_the_subscriptions_of_a_webhook_whose_audience_excludes_the_event_are_not_examined(skipped):
    webhook = subscribed(events=["enrollment.*"], **skipped)
    event = write_event(OrganizationFactory(), "enrollment.enrolled")
    event.actor_id = "job"

    explanation = explain(webhook, event)

    assert explanation.verdict == CheckResult.NO
    assert ("audience", CheckResult.NO) in [(clause.name, clause.verdict) for clause in explanation.clauses]
    assert [clause for clause in explanation.clauses if clause.subscription_id] == []


def test_filters_and_conditions_are_explained_one_by_one_without_the_values_of_the_event():
    webhook = subscribed(events=[])
    Subscription.objects.create(
        webhook=webhook,
        event_type="enrollment.*",
        filters={"course": [301, 302], "status_to": ["Cancel"]},
        condition={"data.user.first_name": "Bob", "data.retake": False},
    )

    explanation = explain(webhook, enrolled(webhook))

    assert sorted((clause.name, clause.verdict, clause.sentence) for clause in explanation.clauses[3:]) == [
        ("condition", "no", "Not met: data.user.first_name is Bob."),
        ("condition", "yes", "Met: data.retake is false."),
        ("filters.course", "yes", "Met: course is 301 or 302."),
        ("filters.status_to", "no", "Not met: status_to is Cancel."),
    ]
    assert explanation.verdict == CheckResult.NO
    assert "Alice" not in repr(explanation.clauses)


def test_an_event_about_the_webhook_itself_one_without_a_payload_and_one_for_another_window():
    webhook = subscribed(events=["webhook.*", "course_assignment.expiring", "*"])
    own, another = webhook.subscriptions.filter(event_type__in=["course_assignment.expiring", "*"])
    about = write_event(webhook.organization, "webhook.recovered")
    about.subject_id = webhook.public_id
    about.save()
    unbuilt = enrolled(webhook)
    unbuilt.error = "ValueError"
    windowed = write_event(webhook.organization, "course_assignment.expiring", subscription=own)

    assert clauses_of(webhook, about)["itself"][0] == CheckResult.NO
    assert clauses_of(webhook, unbuilt)["payload"][0] == CheckResult.NO
    clauses = explain(webhook, windowed).clauses
    windows = {clause.subscription_id: clause for clause in clauses if clause.name == "window"}
    assert windows[own.pk].sentence == "The object entered the window of more than 0 and less than 30 days."
    assert windows[another.pk].verdict == CheckResult.NO


def test_an_event_before_the_webhook_is_delivered_by_sending_missed_events(clock):
    organization = OrganizationFactory()
    event = write_event(organization, "enrollment.enrolled")
    fan_out(timezone.now())

    webhook = subscribed(organization=organization)

    assert explain(webhook, event.__class__.objects.get()).verdict == CheckResult.NO
    assert (
        "To deliver it, send missed events since a time before it."
        in clauses_of(webhook, Event.objects.get())["created"][1]
    )


def test_the_delivery_is_returned_with_the_verdict_by_present_settings():
    webhook = subscribed(events=["enrollment.*"])
    event = enrolled(webhook)
    fan_out(timezone.now())
    webhook.subscriptions.all().delete()

    explanation = explain(webhook, Event.objects.get())

    assert (explanation.verdict, explanation.delivery.status) == (CheckResult.NO, DeliveryStatus.PENDING)
    assert explanation.delivery.event == event


# Dry runs


def test_a_dry_run_finds_the_events_that_a_new_subscription_matches():
    webhook = subscribed(events=[])
    matching = [enrolled(webhook), write_event(webhook.organization, "enrollment.cancelled")]
    write_event(webhook.organization, "class.cancelled")
    write_event(OrganizationFactory(), "enrollment.enrolled")
    enrolled(webhook, body="")
    enrolled(webhook, body=body_of("enrollment.enrolled").replace('"id":301', '"id":302'))
    subscription = Subscription(webhook=webhook, event_type="enrollment.*", filters={"course": [301]})

    found = dry_run(webhook, [subscription])

    assert (found.examined, found.events) == (4, matching[::-1])
    assert not Delivery.objects.exists()
    assert subscription.pk is None


def test_the_latest_events_are_examined_and_their_bodies_are_not_kept():
    webhook = subscribed(events=["*"])
    events = [enrolled(webhook) for _number in range(4)]

    found = dry_run(webhook, list(webhook.subscriptions.all()), latest=2)

    assert (found.examined, found.events) == (2, [events[3], events[2]])
    # The bodies of all events together would take much memory.
    assert found.events[0].get_deferred_fields() == {"body"}


@pytest.mark.parametrize("audience, found", [("owner", [3, 1]), ("learner", [3, 2]), ("both", [3, 2, 1])])
def test_events_of_its_audience_are_examined_before_and_after_they_are_in_the_feed(audience, found):
    webhook = subscribed(events=["*"], audience=audience)
    other = OrganizationFactory()
    own = webhook.organization
    pairs = [(other, None), (own, other), (other, own), (own, own)]
    events = []
    for owner, learner in pairs:
        event = new_event(owner, "enrollment.enrolled")
        event.learner_organization = learner
        event.save()
        events.append(event)

    before = dry_run(webhook, list(webhook.subscriptions.all()))
    fan_out(timezone.now())
    feed.publish_all(timezone.now(), seconds=PATIENCE)
    after = dry_run(webhook, list(webhook.subscriptions.all()))

    assert before.events == after.events == [events[index] for index in found]


def test_events_without_a_payload_and_those_for_one_webhook_are_left_out():
    webhook = subscribed(events=["*"])
    enrolled(webhook, body="")
    test = enrolled(webhook)
    Event.objects.filter(pk=test.pk).update(position=OUTSIDE_THE_FEED)
    made = enrolled(webhook)
    Event.objects.filter(pk=made.pk).update(webhook=webhook)

    assert dry_run(webhook, list(webhook.subscriptions.all())).examined == 0


def test_an_event_counts_for_each_check_that_it_fails_and_first_occurrences_are_predicted():
    webhook = subscribed(events=[])
    events = [enrolled(webhook) for _number in range(3)]
    for number, event in enumerate(events, start=1):
        Event.objects.filter(pk=event.pk).update(subject_id="7", sequence=number)
    tried = [
        Subscription(webhook=webhook, event_type="*", filters={"course": [0], "status_to": ["Cancel"]}),
        Subscription(webhook=webhook, event_type="enrollment.*", filters={"first_occurrence": True}),
        Subscription(webhook=webhook, event_type="class.*"),
    ]

    found = dry_run(webhook, tried)

    assert found.events == [events[0]]
    assert {(reason.name, reason.subscription): count for reason, count in found.main_reasons} == {
        ("filters.course", 0): 2,
        ("filters.status_to", 0): 2,
        ("filters.first_occurrence", 1): 2,
    }
    assert not FirstOccurrence.objects.exists()


def test_an_explanation_reads_the_body_of_the_event_once(monkeypatch):
    webhook = subscribed(events=["enrollment.*", "*", "class.*"])
    Subscription.objects.update(condition={"data.course.id": 301})
    read = []
    monkeypatch.setattr(subscription_rules, "from_text", lambda text: read.append(text) or from_text(text))

    assert explain(webhook, enrolled(webhook)).verdict is CheckResult.YES
    assert len(read) == 1
