"""A preview over the API: the request that a webhook would get for an event, a sample or a real one. Nothing is sent."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from example_project.training.factories import TrainingClassFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import at, error_of
from tms_webhooks.models import AuditEntry, Delivery, Event, Webhook
from tms_webhooks.models.encryption import MASK


@pytest.fixture
def webhook(acme, receiver) -> Webhook:
    return WebhookFactory(organization=acme, url=receiver.url, headers="X-Key=s3cret", events=["class.*"])


@pytest.fixture
def training_class(acme):
    return TrainingClassFactory(organization=acme, name="Linux")


@pytest.fixture
def preview(client, webhook):
    def preview(body=None, *, by=client, **headers):
        return by.post(at(webhook, "preview"), body or {}, headers=headers)

    return preview


def of(training_class, **values):
    return {"event_type": "class.updated", "subject": f"class:{training_class.pk}", **values}


def test_it_is_the_signed_request_with_its_secrets_masked(receiver, webhook, preview):
    data = preview({"event_type": "class.cancelled"}).json()

    body = json.loads(data["body"])
    assert (data["method"], data["url"], data["problem"]) == ("POST", receiver.url, "")
    assert (data["event_type"], body["type"]) == ("class.cancelled", "class.cancelled")
    assert body["organization"]["id"] == webhook.organization_id
    assert data["headers"]["X-Key"] == data["headers"]["webhook-signature"] == MASK
    assert data["headers"]["webhook-id"] == body["id"]
    assert (data["headers"]["content-type"], data["headers"]["tms-attempt"]) == ("application/json", "1")
    assert "s3cret" not in str(data)
    assert receiver.received == []


def test_it_is_that_of_a_real_event_and_has_no_mark_of_a_test(preview):
    data = preview({"event_type": "class.cancelled", "body": {"test": True}}).json()

    assert "test" not in json.loads(data["body"])
    assert "tms-test" not in data["headers"]


def test_nothing_is_written_and_no_limit_counts_it(settings, preview, training_class):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "TEST_SENDS_LIMIT": 1}
    before, written = Event.objects.count(), []

    def watch(execute, sql, *arguments):
        if sql.split(maxsplit=1)[0].upper() in {"INSERT", "UPDATE", "DELETE"}:
            written.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(watch):
        answers = [preview(of(training_class)).status_code for _ in range(3)]

    assert (answers, written) == ([200, 200, 200], [])
    assert Event.objects.count() == before
    assert (Delivery.objects.count(), AuditEntry.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("name", "content_type", "key"),
    [
        ("standard", "application/json", "data"),
        ("skillable", "application/json", "EventId"),
        ("cloudevents", "application/cloudevents+json", "specversion"),
    ],
)
def test_any_format_can_be_tried(preview, training_class, webhook, name, content_type, key):
    data = preview(of(training_class, format=name)).json()

    assert data["headers"]["content-type"] == content_type
    assert key in json.loads(data["body"])
    assert "Linux" in data["body"]
    webhook.refresh_from_db()
    assert webhook.format == "standard"


def test_content_can_be_tried_and_its_empty_tokens_are_named(preview, acme, webhook):
    training_class = TrainingClassFactory(organization=acme, name="Linux", external_id="")
    Webhook.objects.filter(pk=webhook.pk).update(url=f"{webhook.url}/{{data.id}}?room={{data.classroom.name}}")
    content = '{"text": "{data.name}", "key": {data.external_id}, "grade": {Grade}, "left": {left}}'

    data = preview(of(training_class, format="custom", content=content)).json()

    assert data["url"] == f"{webhook.url}/{training_class.pk}?room="
    assert json.loads(data["body"]) == {"text": "Linux", "key": "", "grade": None, "left": False}
    assert data["empty_tokens"] == ["data.classroom.name", "data.external_id", "Grade"]


def test_the_content_of_the_event_is_previewed_and_a_token_with_a_default_is_not_empty(preview, webhook):
    contents = {"class.updated": 'Id {data.external_id|default:"-"} {data.classroom.name} {data.classroom.name}'}
    Webhook.objects.filter(pk=webhook.pk).update(format="custom", content="{type}", contents=contents)
    body = {"event_type": "class.updated", "body": {"data": {"external_id": None, "classroom": {"name": None}}}}

    data = preview(body).json()

    assert (data["body"], data["empty_tokens"]) == ("Id -  ", ["data.classroom.name"])
    tried = preview({**body, "content": "Id {data.id} {data.external_id}"}).json()
    assert tried["empty_tokens"] == ["data.external_id"]


def test_the_details_of_the_payload_apply(preview, acme, webhook):
    user = UserFactory(organization=acme)
    Webhook.objects.filter(pk=webhook.pk).update(payload="no_personal")

    data = preview({"event_type": "user.updated", "subject": f"user:{user.pk}"}).json()

    assert json.loads(data["body"])["data"]["id"] == user.pk
    assert user.email not in data["body"]


@pytest.mark.parametrize(
    ("body", "pointer", "code", "words"),
    [
        ({"format": "xml"}, "#/format", "invalid_choice", "choose one of standard, skillable, cloudevents, custom"),
        ({"format": "custom"}, "#/content", "required", "give the content to try"),
        ({"content": "{type}"}, "#/content", "format", "Only the format custom has content"),
        ({"format": "custom", "content": "{data.nmae}"}, "#/content", "unknown_token", "Did you mean"),
        ({"format": "custom", "content": '{"a": {data.name}'}, "#/content", "not_json", "not valid JSON"),
        ({"format": "custom", "content": '{"a": {data.name'}, "#/content", "unclosed_token", "no closing brace"),
        ({"formt": "custom"}, "#/formt", "unknown", "Did you mean 'format'"),
    ],
)
def test_a_format_that_can_not_be_tried_is_named_with_the_remedy(preview, body, pointer, code, words):
    place, found, detail = error_of(preview(body))

    assert (place, found) == (pointer, code)
    assert words in detail


def test_an_object_of_another_organization_is_not_found(preview, problem):
    details = problem(preview(of(TrainingClassFactory())), "not-found")

    assert details == problem(preview(of(TrainingClassFactory.build(pk=987654321))), "not-found")


def test_a_real_object_takes_the_right_to_see_payloads_and_a_sample_does_not(
    preview, restricted, training_class, problem
):
    blind = restricted("view_payload")

    problem(preview(of(training_class), by=blind), "forbidden")

    assert preview({"event_type": "class.updated"}, by=blind).status_code == 200


def test_a_request_that_cannot_be_built_says_why(preview, webhook, acme):
    training_class = TrainingClassFactory(organization=acme, external_id="..")
    Webhook.objects.filter(pk=webhook.pk).update(url=f"{webhook.url}/{{data.external_id}}/x")

    data = preview(of(training_class)).json()

    assert data["body"] is None
    assert "is '.' or '..'" in data["problem"]


def test_a_pull_only_and_a_disabled_webhook_have_previews_too(preview, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(pull_only=True, url="", enabled=False, disabled_reason="admin")

    data = preview({"event_type": "class.cancelled"}).json()

    assert (data["url"], data["problem"]) == ("", "")
    assert json.loads(data["body"])["type"] == "class.cancelled"
