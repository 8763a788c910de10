"""A test that is made of a real object has the bytes of a real event, but for its id, its time and its mark."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    CourseFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
    VoucherFactory,
)
from tests.factories import WebhookFactory
from tests.integration.audience.world import enrolled, listening, organizations
from tests.integration.snapshot.test_paths import World
from tms_webhooks.actors import Actor
from tms_webhooks.choices import ActorKind, CheckResult
from tms_webhooks.exceptions import SubjectError
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, DeliveryBody, Event, Subscription
from tms_webhooks.outbox.erasure import erase
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.routing.explain import explain

ALICE = Actor(ActorKind.ADMINISTRATOR, "7")
OWN_TO_EACH_EVENT = ("id", "timestamp", "sequence", "actor", "test")


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def test(clock):
    return lambda webhook, name, subject, **values: send_test(
        webhook, actor=ALICE, clock=clock, event_type=name, subject=subject, **values
    )


@pytest.fixture
def example(clock):
    def example(webhook, name, subject, **values):
        event = example_event(webhook, name, subject=subject, actor=ALICE, now=clock(), **values)
        return json.loads(event.body)

    return example


def comparable(body):
    """Return a standard body without the values that differ between any two events, its other bytes unchanged."""
    event = json.loads(body)
    for name in OWN_TO_EACH_EVENT:
        event.pop(name, None)
    return json.dumps(event, ensure_ascii=False)


def cancelled_class(organization):
    training_class = TrainingClassFactory(organization=organization, name="Zoë's class")
    training_class.cancel()
    return "class.cancelled", f"class:{training_class.pk}"


def moved_enrollment(organization):
    enrollment = ClassEnrollmentFactory(training_class=TrainingClassFactory(organization=organization))
    enrollment.purchase_order = "PO-1"
    enrollment.save()
    return "enrollment.updated", f"enrollment:{enrollment.pk}"


def new_user(organization):
    return "user.created", f"user:{UserFactory(organization=organization).pk}"


def redeemed_voucher(organization):
    voucher = VoucherFactory(organization=organization)
    voucher.redeemed_by, voucher.redeemed_at = UserFactory(organization=organization), voucher.purchased_at
    voucher.save()
    return "voucher.redeemed", f"voucher:{voucher.pk}"


def new_assignment(organization):
    assignment = CourseAssignmentFactory(course__organization=organization)
    return "course_assignment.created", f"course_assignment:{assignment.pk}"


def completed_path(organization):
    world = World(organization)
    course, learner = CourseFactory(organization=organization), world.learner()
    path = world.path(course)
    world.complete(learner, course)
    return "learning_path.completed", f"learning_path:{path.pk}:{learner.pk}"


@pytest.mark.parametrize(
    "happens", [cancelled_class, moved_enrollment, new_user, redeemed_voucher, new_assignment, completed_path]
)
@pytest.mark.parametrize("payload", ["full", "no_personal", "thin"])
def test_its_bytes_are_those_of_the_real_event_of_the_same_change(
    receiver, organization, drain, test, happens, payload
):
    webhook = WebhookFactory(organization=organization, url=receiver.url, payload=payload, events=["*"])
    name, subject = happens(organization)
    drain()
    (real,) = [request for request in receiver.received if request.event["type"] == name]

    test(webhook, name, subject)

    made = receiver.received[-1]
    assert comparable(made.body) == comparable(real.body)
    assert made.event["sequence"] == Event.objects.filter(type=name).latest("pk").sequence
    assert made.event["actor"] == {"kind": "administrator", "id": "7"}
    assert made.event["test"] is True
    assert made.event["id"] != real.event["id"]


@pytest.mark.parametrize(
    "name, subject, code, words",
    [
        ("class.cancelled", "class", "invalid", "Write a noun, a colon and the id"),
        ("class.cancelled", "class:", "invalid", "Write a noun, a colon and the id"),
        ("class.cancelled", "clas:5", "invalid", 'Did you mean "class" or "classroom"?'),
        ("class.cancelled", ":5", "invalid", "Unknown noun"),
        ("class.cancelled", "enrollment:5", "wrong_noun", "needs an object of the kind class, not enrollment."),
        ("class.cancelled", "class:abc", "not_found", "have no class with this id"),
        ("class.cancelled", "class:\x00", "not_found", "have no class with this id"),
        ("class.cancelled", "class:99999999999999999999999", "not_found", "have no class with this id"),
        ("webhook.test", "class:5", "wrong_noun", "Leave the object empty, or choose an event type of class."),
        ("webhook.test", "webhook:5", "wrong_noun", "webhook.test has no object. Leave the object empty."),
        ("learning_path.completed", "learning_path:5", "not_found", "have no learning_path with this id"),
        ("learning_path.completed", f"learning_path:1:{10**24}", "not_found", "have no learning_path with this id"),
    ],
)
def test_a_subject_that_names_no_object_is_refused_with_the_remedy(organization, test, name, subject, code, words):
    with pytest.raises(SubjectError) as refused:
        test(WebhookFactory(organization=organization), name, subject)

    assert refused.value.code == code
    assert words in str(refused.value)
    assert not Delivery.objects.exists()


def test_another_organizations_object_is_refused_like_one_that_does_not_exist(organization, test):
    webhook, theirs = WebhookFactory(organization=organization), TrainingClassFactory()

    with CaptureQueriesContext(connection) as of_strange, pytest.raises(SubjectError) as strange:
        test(webhook, "class.updated", f"class:{theirs.pk}")
    with CaptureQueriesContext(connection) as of_missing, pytest.raises(SubjectError) as missing:
        test(webhook, "class.updated", "class:987654321")

    assert str(strange.value) == str(missing.value)
    assert strange.value.code == missing.value.code == SubjectError.NOT_FOUND
    assert len(of_strange) == len(of_missing)


@pytest.mark.parametrize(
    "home, audience, children, verdict",
    [
        ("academy", "owner", False, "yes"),
        ("academy", "learner", False, "no"),
        ("globex", "learner", False, "yes"),
        ("globex", "owner", False, "no"),
        ("globex", "both", False, "yes"),
        ("headquarters", "owner", True, "yes"),
        ("headquarters", "owner", False, None),
        ("branch", "both", True, None),
        ("stranger", "both", True, None),
    ],
)
def test_objects_of_its_organizations_are_found_and_the_audience_is_explained(
    settings_of_app, clock, home, audience, children, verdict
):
    settings_of_app(ORGANIZATION_PARENT="parent")
    world = organizations()
    enrollment = enrolled(world["academy"], world["globex"])
    webhook = listening(world[home], audience, children=children)
    values = {"subject": f"enrollment:{enrollment.pk}", "actor": ALICE, "now": clock()}

    if verdict is None:
        with pytest.raises(SubjectError, match="have no enrollment"):
            example_event(webhook, "enrollment.enrolled", **values)
        return
    event = example_event(webhook, "enrollment.enrolled", **values)
    explanation = explain(webhook, event)

    assert event.organization_id == world["academy"].pk
    assert (explanation.verdict, explanation.delivery, explanation.is_example) == (verdict, None, True)


def test_the_verdict_is_that_of_the_filters_and_the_state_of_the_webhook(organization, clock):
    training_class = TrainingClassFactory(organization=organization)
    webhook = WebhookFactory(organization=organization)
    Subscription.objects.create(
        webhook=webhook, event_type="class.*", filters={"course": [training_class.course_id], "first_occurrence": True}
    )
    Subscription.objects.create(
        webhook=webhook, event_type="class.*", filters={"first_occurrence": True}, condition={"data.name": "Other"}
    )
    event = example_event(webhook, "class.updated", subject=f"class:{training_class.pk}", actor=ALICE, now=clock())

    found = explain(webhook, event)

    assert (found.verdict, found.summary) == (CheckResult.YES, "The webhook would receive this event.")
    assert [(one.name, one.verdict) for one in found.clauses if one.subscription_id] == [
        ("event_type", "yes"),
        ("filters.course", "yes"),
        ("filters.first_occurrence", "yes"),
        ("event_type", "yes"),
        ("condition", "no"),
        ("filters.first_occurrence", "no"),
    ]
    webhook.enabled = False
    assert explain(webhook, event).verdict == CheckResult.HELD


@pytest.mark.parametrize("content", ["", '{"name": {data.class.name}}'])
@pytest.mark.parametrize(
    "home, audience, is_kept",
    [("academy", "owner", True), ("globex", "both", True), ("headquarters", "owner", False)],
)
def test_the_log_keeps_no_body_of_a_child_organization_alone(
    settings_of_app, receiver, test, home, audience, is_kept, content
):
    settings_of_app(ORGANIZATION_PARENT="parent")
    world = organizations()
    enrollment = enrolled(world["academy"], world["globex"])
    custom = {"format": "custom", "content": content} if content else {}
    webhook = listening(world[home], audience, children=home == "headquarters", url=receiver.url, **custom)

    sent = test(webhook, "enrollment.enrolled", f"enrollment:{enrollment.pk}")

    assert enrollment.training_class.name in sent.body.decode()
    assert receiver.received[0].body == sent.body
    sent.delivery.event.refresh_from_db()
    assert (sent.delivery.event.body != "") == is_kept
    assert DeliveryBody.objects.filter(pk=sent.delivery.pk).exists() == (is_kept and bool(content))


def test_a_test_about_a_person_is_erased_with_the_person(receiver, organization, test, clock):
    user = UserFactory(organization=organization)
    webhook = WebhookFactory(organization=organization, url=receiver.url)
    sent = test(webhook, "user.updated", f"user:{user.pk}")
    assert user.email in sent.body.decode()

    erase(user, now=clock())

    sent.delivery.event.refresh_from_db()
    assert sent.delivery.event.body == ""
