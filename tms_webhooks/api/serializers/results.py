"""The answers of actions: test, preview, explain, dry run, statistics, secrets, event types, and the caller with its rights.

Each is made of the object or mapping that the action returns; the OpenAPI document describes them from here.
"""

from __future__ import annotations

from typing import Any

from rest_framework.fields import (
    BooleanField,
    CharField,
    DictField,
    IntegerField,
    ListField,
    RegexField,
    SerializerMethodField,
    URLField,
)
from rest_framework.serializers import Serializer

from tms_webhooks.api.schema.shim import extend_schema_field, no_list
from tms_webhooks.api.serializers.base import (
    EventIDField,
    IDField,
    MillisecondsField,
    NumberField,
    OrganizationIDField,
    PayloadField,
    UTCDateTimeField,
    WordField,
)
from tms_webhooks.choices import Action, ActorKind, CheckResult, DeliveryStatus, ErrorClass, Health
from tms_webhooks.routing.explain import Clause, DryRunReport

DIGEST = "^[0-9a-f]{32}$"
WEBHOOK_STATES = ("enabled", "held", "paused", "disabled")


class RotatedSecretSerializer(Serializer):
    """The new secret of a webhook. It is null in the stored response that a repeated request gets."""

    secret = RegexField("^whsec_", allow_null=True)
    old_secret_signs_until = UTCDateTimeField()


class RevealedSecretSerializer(Serializer):
    """The secret of a webhook."""

    secret = RegexField("^whsec_")


class TimingSerializer(Serializer):
    """The milliseconds of each phase of a request; null for a phase that did not happen or is not known."""

    dns = MillisecondsField(allow_null=True)
    connect = MillisecondsField(allow_null=True)
    tls = MillisecondsField(allow_null=True)
    wait = MillisecondsField(allow_null=True)
    read = MillisecondsField(allow_null=True)


class AttemptStatsSerializer(Serializer):
    """The attempts of a period, which begins at a whole hour or day (UTC)."""

    starts_at = UTCDateTimeField()
    attempts = IntegerField()
    delivered = IntegerField()
    retried = IntegerField()
    given_up = IntegerField()
    success_rate = NumberField(allow_null=True)
    p50_ms = IntegerField(allow_null=True)
    p95_ms = IntegerField(allow_null=True)


class LagStatsSerializer(Serializer):
    """The seconds from an event to its first attempt, without the webhook's own delay."""

    starts_at = UTCDateTimeField()
    deliveries = IntegerField()
    p50 = NumberField(allow_null=True, help_text="Seconds that half of the deliveries did not exceed.")
    p95 = NumberField(allow_null=True, help_text="Seconds that 95 percent of the deliveries did not exceed.")


class WebhookStatsSerializer(Serializer):
    """The figures of a webhook, of the last 24 hours and of the last 30 days."""

    state = WordField(WEBHOOK_STATES)
    health = WordField(Health, component="Health")
    failures = IntegerField()
    backlog = IntegerField()
    due_seconds = NumberField(allow_null=True)
    day = AttemptStatsSerializer()
    month = AttemptStatsSerializer()
    lag = LagStatsSerializer()
    as_of = UTCDateTimeField()


class CheckSerializer(Serializer):
    """One check of an explanation."""

    name = CharField()
    verdict = WordField(CheckResult)
    detail = CharField(source="sentence")
    subscription = SerializerMethodField()

    @extend_schema_field(
        IDField(
            allow_null=True, help_text="The subscription that the check belongs to. Null for a check of the webhook."
        )
    )
    def get_subscription(self, clause: Clause) -> str | None:
        """Return the id of the check's subscription; None for a check of the webhook."""
        subscriptions = self.context["view"].shown_webhook.subscriptions.all()
        return next((one.public_id for one in subscriptions if one.pk == clause.subscription_id), None)


VERDICT = "`held`: the event would be kept as a skipped delivery, and not sent."


class ExplainedDeliverySerializer(Serializer):
    """A delivery with its status."""

    id = IDField(source="public_id")
    status = WordField(DeliveryStatus)


class ExplainedEventSerializer(Serializer):
    """Whether the webhook receives an event by its current settings, and why."""

    event = EventIDField(allow_null=True, help_text="Null for an event that has not happened.")
    event_type = CharField()
    delivery = ExplainedDeliverySerializer(
        allow_null=True,
        source="explanation.delivery",
        help_text="The delivery of the event to the webhook, if it has one.",
    )
    verdict = WordField(CheckResult, source="explanation.verdict", help_text=VERDICT)
    summary = CharField(source="explanation.summary")
    checks = CheckSerializer(many=True, source="explanation.clauses")


class DryRunMissSerializer(Serializer):
    """A check that events have failed."""

    name = CharField()
    detail = CharField(source="sentence")
    events = IntegerField()
    position = IntegerField(
        allow_null=True,
        source="subscription",
        help_text="The index of the subscription that the check belongs to. Null for a check of the webhook.",
    )


class DryRunReportSerializer(Serializer):
    """The latest events that subscriptions would have matched, and why the others match none."""

    examined = IntegerField()
    matched = IntegerField()
    misses = DryRunMissSerializer(
        many=True, help_text="The failed checks of the events that match no subscription, the most frequent first."
    )
    events = ListField(child=EventIDField(), help_text="The events that match, the latest first.")

    def to_representation(self, instance: DryRunReport) -> dict[str, Any]:
        """Return the counts of a report, and those of each failed check."""
        events = [event.public_id for event in instance.events]
        misses = [{**reason._asdict(), "events": count} for reason, count in instance.main_reasons]
        report = {"examined": instance.examined, "matched": len(events), "misses": misses, "events": events}
        return super().to_representation(report)


class TestRequestSerializer(Serializer):
    """The request of a test send."""

    method = CharField(source="result.request.endpoint.webhook.verb")
    headers = DictField(child=CharField(), source="signed")
    body = PayloadField(allow_null=True)


class TestSendResultSerializer(Serializer):
    """The result of a test send. Bodies are null for callers who may not see payloads."""

    success = BooleanField(source="result.outcome.success")
    status_code = IntegerField(source="result.status", allow_null=True)
    error_class = WordField(("", *ErrorClass), component="ErrorClass", source="result.outcome.error_class")
    message = CharField(source="result.outcome.message")
    started_at = UTCDateTimeField(source="result.started_at")
    duration_ms = MillisecondsField(source="result.seconds", allow_null=True)
    timing_ms = TimingSerializer(source="result.timing")
    delivery = IDField(source="delivery.public_id")
    event = EventIDField(source="delivery.event.public_id")
    event_type = CharField(source="imitated.type")
    request = TestRequestSerializer(source="*")
    response_body = PayloadField(source="result.body", allow_null=True)
    healed = BooleanField()


class RequestPreviewSerializer(Serializer):
    """The request that a webhook would get for an event."""

    event_type = CharField()
    method = CharField()
    url = CharField(help_text="With its tokens filled in. Empty for a pull-only webhook.")
    headers = DictField(
        child=CharField(), help_text="The signature and the values of the webhook's own headers are masked."
    )
    body = CharField(allow_null=True, help_text="Null if the request can't be built.")
    empty_tokens = ListField(
        child=CharField(),
        help_text="The tokens of the URL and of custom content that have no value in this event.",
    )
    problem = CharField(help_text="Why the request can't be built; empty otherwise.")


class EventTypeSerializer(Serializer):
    """An event type of the catalogue."""

    name = CharField()
    group = CharField(source="noun.name")
    title = CharField(source="noun.title")
    summary = CharField()
    version = IntegerField()
    deprecated = BooleanField()
    offered = BooleanField(
        help_text="Whether a webhook can subscribe to it. False for events that are made for one webhook."
    )


class CallerSerializer(Serializer):
    """A user, API client or process."""

    kind = WordField(ActorKind)
    id = CharField()
    label = CharField()  # type: ignore[assignment]


class OrganizationRightsSerializer(Serializer):
    """An organization, and the rights of the caller there."""

    id = OrganizationIDField()
    name = CharField()
    actions = ListField(
        child=WordField(Action, component="PolicyAction"),
        help_text="The actions that the caller may do in the organization.",
    )


@no_list
class MeSerializer(Serializer):
    """The caller, and a page of its organizations."""

    caller = CallerSerializer()
    next = URLField(allow_null=True)
    previous = URLField(allow_null=True)
    results = OrganizationRightsSerializer(many=True)


class ObjectDigestSerializer(Serializer):
    """An object that a webhook receives: its id as text, the customer's own id, and the digest as in its last event."""

    id = CharField()
    external_id = CharField(allow_null=True)
    digest = RegexField(DIGEST)


class ObjectDigestsSerializer(Serializer):
    """A page of objects."""

    next = URLField(allow_null=True)
    results = ObjectDigestSerializer(many=True)


class BucketSerializer(Serializer):
    """A bucket: its number from 0, the number of its objects, and its digest."""

    bucket = IntegerField()
    count = IntegerField()
    digest = RegexField(DIGEST)


class BucketsSerializer(Serializer):
    """A page of buckets. ``cursor`` is that of the catch-up feed before they were read: later changes come after it."""

    next = URLField(allow_null=True)
    cursor = CharField()
    results = BucketSerializer(many=True)
