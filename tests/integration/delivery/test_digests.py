"""Every request has the digest of its object, the same in each format, and on each attempt."""

import json

import pytest

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from tests.factories import WebhookFactory
from tests.integration.snapshot.test_paths import World
from tms_webhooks import catalogue, digests
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.comparison import Comparison
from tms_webhooks.digests import digest_of, own_fields
from tms_webhooks.models import Event, Webhook
from tms_webhooks.payloads.envelope import nested_json
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.rows import database_of, read_whole

CONTENT = '{"digest": "{digest}", "again": "{Digest}"}'


@pytest.fixture
def training_class():
    return TrainingClassFactory()


def digest_of_row(training_class, detail=PayloadDetail.FULL):
    """Return the digest of a class as its row is now."""
    (source,) = sources_of_noun("class")
    raw = read_whole(source, training_class.pk, using=database_of(source))
    data = nested_json(catalogue.get("class.snapshot").fields, source.canonical(raw))
    return digest_of("class", data, detail)


@pytest.mark.parametrize("detail", PayloadDetail)
@pytest.mark.parametrize(
    ("format_", "read"),
    [
        (PayloadFormat.STANDARD, lambda body: body["digest"]),
        (PayloadFormat.SKILLABLE, lambda body: body["Digest"]),
        (PayloadFormat.CLOUDEVENTS, lambda body: body["data"]["digest"]),
        (PayloadFormat.CUSTOM, lambda body: body["digest"]),
        (PayloadFormat.CUSTOM, lambda body: body["again"]),
    ],
)
def test_a_request_has_the_digest_of_its_object_in_each_format(receiver, drain, training_class, format_, read, detail):
    content = CONTENT if format_ == PayloadFormat.CUSTOM else ""
    fields = {"format": format_, "content": content, "payload": detail}
    WebhookFactory(organization=training_class.organization, url=receiver.url, events=["class.*"], **fields)

    training_class.cancel()
    drain()

    (request,) = receiver.received
    assert read(json.loads(request.body)) == digest_of_row(training_class, detail)


READ = {
    **dict.fromkeys(
        [PayloadFormat.STANDARD, PayloadFormat.CLOUDEVENTS_BINARY], lambda body: (body["data"]["id"], body["digest"])
    ),
    PayloadFormat.SKILLABLE: lambda body: (body["Id"], body["Digest"]),
    PayloadFormat.CLOUDEVENTS: lambda body: (body["data"]["data"]["id"], body["data"]["digest"]),
    PayloadFormat.CUSTOM: lambda body: (body["id"], body["digest"]),
}


@pytest.mark.parametrize("is_filtered", [False, True], ids=["all", "filtered"])
@pytest.mark.parametrize(
    ("audience", "received"), [("owner", (0, 1, 2)), ("learner", (0, 1, 3)), ("both", (0, 1, 2, 3))]
)
@pytest.mark.parametrize("detail", PayloadDetail)
def test_an_event_has_the_digest_that_a_comparison_lists_for_the_same_webhook(
    run, wire, detail, audience, received, is_filtered
):
    acme, other = OrganizationFactory.create_batch(2)
    enrollments = [
        ClassEnrollmentFactory(training_class__organization=owner, user=UserFactory(organization=learners))
        for owner, learners in ((acme, acme), (acme, acme), (acme, other), (other, acme), (other, other))
    ]
    classes = [one.training_class_id for one in enrollments[1:4]]
    for format_ in PayloadFormat:
        content = '{"id": {data.id}, "digest": "{digest}"}' if format_ == PayloadFormat.CUSTOM else ""
        fields = {"format": format_, "content": content, "payload": detail, "audience": audience}
        webhook = WebhookFactory(organization=acme, url=f"https://receiver.example.com/{format_}", **fields)
        filters = {"class": classes} if is_filtered else {}
        webhook.subscriptions.create(event_type="enrollment.*", filters=filters)

    for one in enrollments:
        one.external_id = f"{one.external_id}-B"
        one.save()
    run()

    expected = {enrollments[number].pk for number in received if number or not is_filtered}
    for webhook in Webhook.objects.all():
        bodies = [json.loads(one.body) for one in wire.requests if one.url == webhook.url]
        sent = dict(READ[webhook.format](body) for body in bodies)
        listed = Comparison(webhook, "enrollment").objects(None, limit=100).objects
        assert sent.keys() == expected
        assert {str(key): digest for key, digest in sent.items()} == {one.id: one.digest for one in listed}


@pytest.mark.parametrize("detail", PayloadDetail)
def test_the_event_of_a_computed_path_has_the_digest_that_a_comparison_lists(run, wire, detail):
    world = World(OrganizationFactory())
    for format_ in PayloadFormat:
        content = '{"id": "{data.id}", "digest": "{digest}"}' if format_ == PayloadFormat.CUSTOM else ""
        fields = {
            "format": format_,
            "content": content,
            "payload": detail,
            "url": f"https://receiver.example.com/{format_}",
        }
        WebhookFactory(organization=world.organization, events=["learning_path.*"], **fields)
    courses = CourseFactory.create_batch(2, organization=world.organization)
    paths, learners = [world.path(*courses), world.path(courses[1])], [world.learner(), world.learner()]

    for number, learner in enumerate(learners):
        # One of them completes the courses in the other order.
        for course, days in zip(courses, (2 + number, 3), strict=True):
            world.complete(learner, course, days)
    run()

    expected = {f"{path.pk}:{learner.pk}" for path in paths for learner in learners}
    for webhook in Webhook.objects.all():
        bodies = [json.loads(one.body) for one in wire.requests if one.url == webhook.url]
        sent = dict(READ[webhook.format](body) for body in bodies)
        listed = Comparison(webhook, "learning_path").objects(None, limit=100).objects
        assert sent.keys() == expected
        assert sent == {one.id: one.digest for one in listed}


def test_a_body_that_is_too_large_has_the_digest_of_the_whole_object(receiver, drain, training_class, settings_of_app):
    settings_of_app(BODY_LIMIT_BYTES=1_024)
    WebhookFactory(organization=training_class.organization, url=receiver.url, events=["class.*"])

    training_class.cancel()
    drain()

    (request,) = receiver.received
    body = json.loads(request.body)
    assert (body["truncated"], body["digest"]) == (True, digest_of_row(training_class))


def test_the_webhooks_of_one_event_share_one_computation_for_each_detail(receiver, drain, training_class, monkeypatch):
    hashed, counted = digests.hashed, []
    monkeypatch.setattr(digests, "hashed", lambda *arguments: counted.append(arguments) or hashed(*arguments))
    for number in range(10):
        format_ = PayloadFormat.CUSTOM if number % 2 else PayloadFormat.STANDARD
        fields = {"format": format_, "content": CONTENT if number % 2 else "", "payload": PayloadDetail.FULL}
        WebhookFactory(organization=training_class.organization, url=receiver.url, events=["class.*"], **fields)

    training_class.cancel()
    drain()

    assert {json.loads(one.body)["digest"] for one in receiver.received} == {digest_of_row(training_class)}
    assert (len(receiver.received), len(counted)) == (10, 2)


def test_each_attempt_has_the_same_bytes(clock, run, wire, training_class):
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    training_class.cancel()
    wire.answers = [500]

    run()
    clock.advance(hours=1)
    run()

    first, second = (request.body for request in wire.requests)
    assert first == second
    assert json.loads(first)["digest"] == digest_of_row(training_class)


def test_it_covers_the_columns_of_the_hosts_own_fields():
    names = {field.name for noun in ("enrollment", "user") for field in own_fields(noun)}

    # A department has its name in a row of its own.
    assert {one for one in names if one.startswith("custom.")} == {"custom.purchase_order", "custom.cost_center"}


def test_nothing_of_it_is_stored(clock, run, training_class):
    WebhookFactory(organization=training_class.organization, events=["class.*"])
    training_class.cancel()

    run()

    assert '"digest"' not in Event.objects.get().body
