"""The actions that try a webhook out, or compare a copy: test, preview, explain, dry run, and the digests of its objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.pagination import Cursor
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.access import covers
from tms_webhooks.api.filters import referenced, visible_events
from tms_webhooks.api.pagination import whole_number
from tms_webhooks.api.problems import problem_at
from tms_webhooks.api.schema.resources import row_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.actions import PreviewSerializer, SendTestSerializer, SubscriptionDryRunSerializer
from tms_webhooks.api.serializers.base import EventIDField
from tms_webhooks.api.serializers.results import (
    BucketsSerializer,
    DryRunReportSerializer,
    ExplainedEventSerializer,
    ObjectDigestsSerializer,
    RequestPreviewSerializer,
    TestSendResultSerializer,
)
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action
from tms_webhooks.comparison import Comparison, Place
from tms_webhooks.db import clock
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.documents.request_preview import preview_of_event
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.routing.explain import dry_run, explain
from tms_webhooks.snapshot import EVERYTHING, Selection

EXPLAIN_PARAMETERS = (
    parameter("event", EventIDField.json_schema, "The event to explain."),
    parameter(
        "event_type",
        {"type": "string", "examples": ["class.cancelled"]},
        "Instead of `event`: the type of an event that has not happened. Without `subject`, it is the sample of the type.",
    ),
    parameter(
        "subject",
        {"type": "string", "examples": ["class:8840"]},
        "The object that the event of this type would be about.",
    ),
)


BUCKETS_BY_DEFAULT = 64

NOUN = parameter(
    "noun",
    {"type": "string", "examples": ["class"]},
    "The noun of the objects: one that a snapshot of the webhook can have.",
    required=True,
)
BUCKETS = parameter(
    "buckets",
    {"type": "integer", "minimum": 1, "maximum": MOST_BUCKETS, "default": BUCKETS_BY_DEFAULT},
    "The number of buckets into which the ids are divided.",
)
BUCKET = parameter(
    "bucket", {"type": "integer", "minimum": 0}, "Only the objects of the bucket with this number, from 0."
)
FIRST = parameter(
    "first", {"type": "integer", "minimum": 0, "default": 0}, "The first bucket of the page. Use the URL in `next`."
)


class ExampleViewSet(ResourceViewSet):
    """Adds the actions to a viewset of webhooks."""

    parameters = {
        "explain": EXPLAIN_PARAMETERS,
        "objects": (NOUN, BUCKETS, BUCKET),
        "digests": (NOUN, BUCKETS, FIRST),
    }
    paged = ("objects",)

    @row_action(TestSendResultSerializer, body=SendTestSerializer, atomic=False)
    def test(self, **body: Any) -> Any:
        """Send a test event to a webhook now and return the result. The delivery log contains it, too."""
        webhook = self.get_object()
        sent = send_test(webhook, actor=self.actor, **body)
        self.shows_payloads = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id) and (
            "subject" not in body or covers(self.organizations(Action.VIEW_PAYLOAD), webhook)
        )
        return sent

    @row_action(RequestPreviewSerializer, body=PreviewSerializer, atomic=False)
    def preview(self, **body: Any) -> Any:
        """Return the request that a webhook would get for an event. Nothing is sent or recorded."""
        webhook = self.get_object()
        if "subject" in body:
            self.require(Action.VIEW_PAYLOAD, webhook.organization_id)
            self.require_children(Action.VIEW_PAYLOAD, webhook)
        tried = copy.copy(webhook)
        tried.format = body.get("format", webhook.format)
        event = self._example(webhook, body)
        preview = preview_of_event(tried, event, now=clock.measured_now())
        return {**asdict(preview), "event_type": event.type, "body": None if preview.problem else preview.body}

    @row_action(ExplainedEventSerializer)
    def explain(self) -> Any:
        """Return why a webhook receives an event or not, check by check, by its current settings."""
        webhook = self.get_object()
        self.shown_webhook, event = webhook, self._event_to_explain(webhook)
        explanation = explain(webhook, event)
        key = None if explanation.is_example else event.public_id
        return {"event": key, "event_type": event.type, "explanation": explanation}

    @row_action(DryRunReportSerializer, body=SubscriptionDryRunSerializer, atomic=False, url_path="dry-run")
    def dry_run(self, **body: Any) -> Any:
        """Return the latest events that the subscriptions would have matched, and the failed checks of the others. Nothing is sent or recorded."""
        webhook = self.get_object()
        subscriptions = (
            [Subscription(webhook=webhook, **one) for one in body["subscriptions"]]
            if "subscriptions" in body
            else list(webhook.subscriptions.order_by("pk"))
        )
        return dry_run(webhook, subscriptions, latest=body["latest"])

    @row_action(ObjectDigestsSerializer)
    def objects(self) -> Any:
        """Return the id and the digest of each object that a webhook receives. A page can be empty and have more after it."""
        pages: Any = self.paginator
        pages.base_url = self.request.build_absolute_uri()
        cursor, buckets = pages.decode_cursor(self.request), self._buckets()
        if cursor is not None and not isinstance(cursor.position, list):
            # Of another list.
            raise pages.invalid_cursor()
        bucket = whole_number(self.request, "bucket", 0, buckets - 1)
        comparison = self._comparison(EVERYTHING if bucket is None else Selection(buckets=(bucket,), of=buckets))
        place = cursor and Place(*cursor.position)
        page = comparison.objects(place, limit=pages.get_page_size(self.request))
        following = page.next and pages.encode_cursor(Cursor(0, False, page.next))  # type: ignore[arg-type]
        return {"next": following, "results": page.objects}

    @row_action(BucketsSerializer)
    def digests(self) -> Any:
        """Return the number of objects and the digest of each bucket. If there are many objects, a page has some of the buckets."""
        comparison, buckets = self._comparison(), self._buckets()
        first = whole_number(self.request, "first", 0, buckets - 1, default=0)
        page, url = comparison.buckets(of=buckets, first=first), self.request.build_absolute_uri()
        following = None if page.next is None else replace_query_param(url, "first", page.next)
        return {"next": following, "cursor": page.cursor, "results": page.buckets}

    def _event_to_explain(self, webhook: Webhook) -> Event:
        """Return the event of the query: a recorded one whose payload the caller may see, or one that has not happened."""
        given = self.request.query_params.dict()
        if ("event" in given) is ("event_type" in given) or {"event", "subject"} <= set(given):
            raise problem_at("parameter", "event", "required", "Give event, or event_type with an optional subject.")
        if "event" not in given:
            if "subject" in given:
                self.require_children(Action.VIEW_PAYLOAD, webhook)
            return self._example(webhook, given)
        event: Event = referenced(visible_events(self), given["event"], "event")
        if not self.may_see_payload(webhook, event):
            raise PermissionDenied("You may view this event, but you lack the permission 'view_payload' for it.")
        return event

    def _example(self, webhook: Webhook, values: Mapping[str, Any]) -> Event:
        chosen = {name: values[name] for name in ("event_type", "subject") if name in values}
        return example_event(webhook, **chosen, actor=self.actor, now=clock.measured_now())

    def _buckets(self) -> int:
        """Return the number of buckets."""
        return int(whole_number(self.request, "buckets", 1, MOST_BUCKETS, default=BUCKETS_BY_DEFAULT))

    def _comparison(self, selection: Selection = EVERYTHING) -> Comparison:
        """Return the comparison of the webhook of the URL, by the noun of the query."""
        webhook, noun = self.get_object(), self.request.query_params.get("noun")
        if noun is None:
            raise problem_at("parameter", "noun", "required", "Missing; name one noun, such as noun=class.")
        return Comparison(webhook, noun, selection)
