"""Webhooks: list, create, read, change and delete them, try them out, and compare a copy; their subscriptions and secrets.

Of a secret there is when it was created and when it ends, never its value. Hooks are webhooks that programs make, refresh and
delete by themselves; each program sees its own ones only.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import mixins
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.pagination import Cursor
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.access import covers, may_view_payload
from tms_webhooks.api.filters import OF_HOOKS, OF_WEBHOOKS, referenced, visible_events
from tms_webhooks.api.pagination import whole_number
from tms_webhooks.api.problems import Problem, problem_at
from tms_webhooks.api.safe_writes import etag_of
from tms_webhooks.api.schema.resources import ETAG, IF_MATCH, LOCATION, extend_schema, row_action, writes
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.actions import (
    DateRangeSerializer,
    DryRunSerializer,
    EmptySerializer,
    PreviewSerializer,
    RecoverSerializer,
    SecretRotationSerializer,
    SendTestSerializer,
    SnapshotNounsSerializer,
    SnapshotSerializer,
    SubscriptionDryRunSerializer,
)
from tms_webhooks.api.serializers.answers import (
    BucketsSerializer,
    DryRunReportSerializer,
    ExplainedEventSerializer,
    ObjectDigestsSerializer,
    RequestPreviewSerializer,
    RevealedSecretSerializer,
    RotatedSecretSerializer,
    SecretSerializer,
    TestSendResultSerializer,
    WebhookStatsSerializer,
)
from tms_webhooks.api.serializers.base import EventIDField, nested, to_drf_detail
from tms_webhooks.api.serializers.webhooks import (
    CreatedWebhookSerializer,
    HookRefreshSerializer,
    HookSerializer,
    NewHookSerializer,
    SubscriptionSerializer,
    WebhookSerializer,
    WebhookUpdateSerializer,
)
from tms_webhooks.api.views.deliveries import JOBS_OR_COUNT, JobStartingViewSet
from tms_webhooks.api.views.resource import ResourceViewSet, WebhookPartViewSet
from tms_webhooks.choices import Action, Health
from tms_webhooks.comparison import Comparison, Place
from tms_webhooks.db import clock
from tms_webhooks.delivery import rendering
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.documents.request_preview import preview_of_event
from tms_webhooks.exceptions import SecretError, UnsafeURL
from tms_webhooks.manage import hooks, secrets, subscriptions, webhooks
from tms_webhooks.manage.tests import outside_transactions, send_test
from tms_webhooks.models import Event, Subscription, Webhook, WebhookSecret
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.monitoring.figures import WebhookHealth, health_by_webhook, stats
from tms_webhooks.net import urls
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.routing.explain import dry_run, explain
from tms_webhooks.snapshot import EVERYTHING, Selection, available

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


class WebhookViewSet(mixins.ListModelMixin, JobStartingViewSet):
    """Return the webhooks of the caller's organizations. A deleted webhook is not returned, but its log remains."""

    heading = "Webhooks"
    row_kind = "webhook"
    queryset = Webhook.objects.existing().select_related("state").prefetch_related("subscriptions")
    serializer_class = WebhookSerializer
    list_filters = OF_WEBHOOKS
    needs = {
        # Conditions of the caller's choice can find out the values of payloads.
        **dict.fromkeys(("explain", "dry_run", "objects", "digests"), Action.VIEW_PAYLOAD),
        **dict.fromkeys(("recover", "replay_missed", "send_now", "cancel_pending", "snapshot"), Action.REPLAY),
        "secret": Action.REVEAL_SECRET,
    }
    # A change is checked as it will be, examples where they are about an object, and a job that cancels sends no event.
    own_only = ("partial_update", "preview", "explain", "cancel_pending")
    parameters = {
        "explain": EXPLAIN_PARAMETERS,
        "objects": (NOUN, BUCKETS, BUCKET),
        "digests": (NOUN, BUCKETS, FIRST),
    }
    paged = ("objects",)
    _health: Mapping[int, WebhookHealth] = {}

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Return a view of these actions; the view of ``test`` ignores ``ATOMIC_REQUESTS``, since it waits for a receiver."""
        view = super().as_view(actions, **initkwargs)
        return outside_transactions(view) if "test" in (actions or {}).values() else view

    def paginate_queryset(self, queryset: Any) -> Any:
        """Return a page of webhooks, whose health is read in one query."""
        page = super().paginate_queryset(queryset)
        self._health = health_by_webhook(page or (), now=timezone.now())
        return page

    def health_of(self, webhook: Webhook) -> Health:
        """Return the health of a webhook in the response."""
        known = self._health or health_by_webhook([webhook], now=timezone.now())
        return known[webhook.pk].word

    @extend_schema(responses={201: CreatedWebhookSerializer}, parameters=[ETAG, LOCATION])
    def create(self, request: Any) -> Response:
        """Create a webhook with its subscriptions. The response contains its secret, which no later GET returns."""
        values = self.read(WebhookSerializer)
        # Names are looked up only for callers who may set one.
        self.require(Action.MANAGE, values["organization_id"])
        refuse_unreachable(request.data)

        def create() -> Response:
            now, given = timezone.now(), values.pop("subscriptions", ())
            webhook = Webhook(**values)
            self.require_children(Action.MANAGE, webhook)
            subscriptions = [Subscription(webhook=webhook, **one) for one in given]
            webhooks.create(webhook, subscriptions, actor=self.actor, now=now)
            (secret,) = webhook.signing_secrets(now)
            response = self._response(webhook, 201, secret=secret)
            response["Location"] = self.url_of("webhook-detail", pk=webhook.public_id)
            return response

        return self.commit(create)

    @extend_schema(parameters=[ETAG])
    def retrieve(self, request: Any, pk: str) -> Response:
        """Return one webhook."""
        return self._response(self.get_object())

    @extend_schema(request=WebhookUpdateSerializer, parameters=[IF_MATCH, ETAG])
    def partial_update(self, request: Any, pk: str) -> Response:
        """Change the fields in the body. Other fields stay as they are."""
        refuse_unreachable(request.data, stored=self.get_object())

        def update() -> Response:
            webhook = self.get_object(lock=True)
            serializer = self.get_serializer(webhook, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            for name, value in serializer.validated_data.items():
                setattr(webhook, name, value)
            if webhooks.update(webhook, serializer.validated_data, actor=self.actor, now=timezone.now()):
                self.require_children(Action.MANAGE, webhook)
            return self._response(webhook)

        return self.commit(update)

    @writes({204: None}, IF_MATCH)
    def destroy(self) -> None:
        """Delete a webhook and cancel its queued deliveries. Its deliveries stay in the log."""
        self.after(webhooks.delete)

    @row_action(WebhookSerializer, IF_MATCH, ETAG, body=EmptySerializer)
    def enable(self) -> Response:
        """Enable a webhook and reset its failures. Missed deliveries stay skipped until they are replayed."""
        return self._response(self.after(webhooks.enable))

    @row_action(WebhookSerializer, IF_MATCH, ETAG, body=EmptySerializer)
    def disable(self) -> Response:
        """Disable a webhook: it gets no more requests. Its queued and future deliveries are recorded as skipped."""
        return self._response(self.after(webhooks.disable))

    @row_action(RotatedSecretSerializer, IF_MATCH, ETAG, body=SecretRotationSerializer, url_path="rotate-secret")
    def rotate_secret(self, overlap_seconds: int) -> Any:
        """Create a new secret for a webhook and return it. Until the overlap ends, the old secret also signs."""
        webhook, now = self.get_object(lock=True), clock.measured_now()
        overlap = timedelta(seconds=overlap_seconds)
        secret = secrets.rotate(webhook, overlap=overlap, actor=self.actor, now=now)
        return {"secret": secret, "old_secret_signs_until": now + overlap}

    @row_action({200: RevealedSecretSerializer, 409: None}, atomic=True)
    def secret(self) -> Any:
        """Return the secret of a webhook. The audit log records the caller."""
        try:
            return {"secret": secrets.reveal(self.get_object(), actor=self.actor, now=timezone.now())}
        except SecretError as error:
            raise Problem("conflict", "The secret can't be decrypted; rotate it to get a new one.") from error

    @row_action(JOBS_OR_COUNT, LOCATION, body=RecoverSerializer)
    def recover(self, **body: Any) -> Response:
        """Start a job that sends failed deliveries of a time range again."""
        return self.start_or_count(body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DateRangeSerializer, url_path="replay-missed")
    def replay_missed(self, **body: Any) -> Response:
        """Start a job that sends the events that match the current subscriptions and were never sent."""
        return self.start_or_count(body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DryRunSerializer, url_path="cancel-pending")
    def cancel_pending(self, **body: Any) -> Response:
        """Start a job that cancels the queued deliveries of a webhook."""
        return self.start_or_count(body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DryRunSerializer, url_path="send-now")
    def send_now(self, **body: Any) -> Response:
        """Start a job that makes an extra attempt of each queued delivery now, which uses up no retry. It ends a pause."""
        return self.start_or_count(body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=SnapshotSerializer)
    def snapshot(self, **body: Any) -> Response:
        """Start a job that sends the current state of every object of some nouns, as the webhook would receive it."""
        return self.start_or_count(body)

    @writes(SnapshotNounsSerializer, atomic=False)
    @snapshot.mapping.get  # type: ignore[attr-defined, untyped-decorator]
    def snapshot_nouns(self) -> Any:
        """Return the nouns that a snapshot of a webhook can have."""
        return {"nouns": available(self.get_object())}

    @row_action(WebhookStatsSerializer)
    def stats(self) -> Any:
        """Return the delivery statistics of a webhook."""
        now = timezone.now()
        figures = stats(now=now, webhooks=Webhook.objects.filter(pk=self.get_object().pk))
        (of_webhook,) = figures.webhooks
        return {**asdict(of_webhook), "lag": figures.lag, "as_of": now}

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

    def _response(self, webhook: Webhook, code: int = 200, **more: Any) -> Response:
        """Return the webhook as stored in the database, with its entity tag."""
        webhook = Webhook.objects.select_related("state").prefetch_related("subscriptions").get(pk=webhook.pk)
        return Response({**self.get_serializer(webhook).data, **more}, status=code, headers={"ETag": etag_of(webhook)})

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
        if not may_view_payload(webhook, event, self.allows):
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


def refuse_unreachable(data: Mapping[str, Any], *, name: str = "url", stored: Webhook | None = None) -> None:
    """Raise ``ValidationError`` for new URLs of a body whose host has no address, or one that webhooks may not call.

    It does DNS lookups, so call it outside of any transaction.
    """
    authentication = data.get("authentication")
    token_url = authentication.get("token_url") if isinstance(authentication, Mapping) else None
    known = ("",) if stored is None else ("", stored.url, (stored.known_credentials() or {}).get("token_url"))
    errors = []
    for url, path in ((data.get(name), [name]), (token_url, ["authentication", "token_url"])):
        if isinstance(url, str) and url not in known:
            try:
                urls.check_url(url, looks_up=True)
            except UnsafeURL as error:
                errors.append((path, str(error), "unsafe_url"))
    if errors:
        raise ValidationError(nested(errors))


class SecretViewSet(mixins.ListModelMixin, WebhookPartViewSet):
    """Secrets of the webhook in the URL, newest first. The value of a secret is in no response of these requests."""

    heading = "Secrets"
    row_kind = "secret"
    queryset = WebhookSecret.objects.filter(webhook__deleted_at__isnull=True).select_related("webhook").defer("value")
    serializer_class = SecretSerializer

    def get_queryset(self) -> Any:
        """Return the secrets that can be requested: in a list, those that sign now."""
        rows: Any = super().get_queryset()
        return rows.signing(clock.measured_now()) if self.action == "list" else rows

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return the secrets that sign the requests of a webhook now, without their values."""
        self.webhook()
        return super().list(request)

    @row_action(SecretSerializer, IF_MATCH, ETAG, body=EmptySerializer)
    def expire(self) -> WebhookSecret:
        """End an older secret now: no request is signed with it any more. The current secret can only be rotated."""
        self.webhook(lock=True)
        secret: WebhookSecret = self.get_object()
        secrets.expire(secret, actor=self.actor, now=clock.measured_now())
        return secret


class SubscriptionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, WebhookPartViewSet):
    """Subscriptions of the webhook in the URL. Each change also changes the webhook's entity tag."""

    heading = "Subscriptions"
    row_kind = "subscription"
    queryset = Subscription.objects.filter(webhook__deleted_at__isnull=True)
    serializer_class = SubscriptionSerializer
    ordering = ("pk",)
    # It only narrows the events that the webhook receives.
    own_only = ("destroy",)

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return the subscriptions of a webhook."""
        self.webhook()
        return super().list(request)

    @writes({201: SubscriptionSerializer}, IF_MATCH, ETAG, LOCATION)
    def create(self) -> Subscription:
        """Add a subscription to a webhook."""
        webhook = self.webhook(lock=True)
        subscription = self._changed(Subscription(webhook=webhook))
        subscriptions.add(webhook, [subscription], actor=self.actor, now=timezone.now())
        subscription.refresh_from_db()
        return subscription

    @writes(SubscriptionSerializer, IF_MATCH, ETAG)
    def partial_update(self) -> Subscription:
        """Change the fields in the body. Other fields stay as they are."""
        self.webhook(lock=True)
        subscription = self._changed(self.get_object())
        subscriptions.update(subscription, actor=self.actor, now=timezone.now())
        subscription.refresh_from_db()
        return subscription

    @writes({204: None}, IF_MATCH)
    def destroy(self) -> None:
        """Delete a subscription. Queued deliveries are still sent."""
        self.webhook(lock=True)
        subscriptions.remove(self.get_object(), actor=self.actor, now=timezone.now())

    def _changed(self, subscription: Subscription) -> Subscription:
        """Set the values of the body; raise ``ValidationError`` if the webhook's content or URL is invalid for its events."""
        is_stored = not subscription._state.adding
        serializer = self.get_serializer(subscription, data=self.request.data, partial=is_stored)
        serializer.is_valid(raise_exception=True)
        webhook = subscription.webhook
        rows = [*webhook.subscriptions.exclude(pk=subscription.pk), subscription]
        if duplicate := duplicates(rows).get(len(rows) - 1):
            raise ValidationError(to_drf_detail(duplicate))
        if "event_type" in serializer.validated_data:
            problems = rendering.problems_for(webhook, [one.event_type for one in rows])
            if problems is not None:
                raise ValidationError({"event_type": problems.messages})
        return subscription


class HookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Return the hooks that the caller has made, newest first."""

    heading = "Hooks"
    row_kind = "hook"
    queryset = Webhook.objects.prefetch_related("subscriptions")
    serializer_class = HookSerializer
    list_filters = OF_HOOKS

    @property
    def mark(self) -> str:
        """The `Webhook.hook_of` of the caller's hooks. Raise ``PermissionDenied`` for a caller without an id."""
        caller = self.actor
        if not caller.id:
            raise PermissionDenied("Your credentials don't identify you, so no hook would be yours. Use an API key.")
        return f"{self.caller_scope[:32]}:{caller.kind}:{caller.stored_id}"

    def get_queryset(self) -> Any:
        """Return the caller's hooks. One that is deleted already can be deleted again."""
        rows: Any = super().get_queryset().filter(hook_of=self.mark)
        return rows if self.action == "destroy" else rows.existing()

    @extend_schema(
        request=NewHookSerializer, responses={201: HookSerializer, 200: HookSerializer}, parameters=[LOCATION]
    )
    def create(self, request: Any) -> Response:
        """Subscribe a URL to an event. The same URL and event again are the same hook, with the new values."""
        body = self.read(NewHookSerializer)
        self.require(Action.MANAGE, body["hook"].organization_id)
        refuse_unreachable(request.data, name="target_url")

        def create() -> Response:
            hook, is_new = hooks.subscribe(**body, actor=self.actor, now=timezone.now())
            return self.response_of({201 if is_new else 200: HookSerializer}, hook, is_new=True)

        return self.commit(create)

    @writes({204: None}, IF_MATCH)
    def destroy(self) -> None:
        """Unsubscribe: delete a hook and cancel its queued deliveries. A body is ignored."""
        self.after(webhooks.delete)

    @row_action(HookSerializer, IF_MATCH, ETAG, body=HookRefreshSerializer)
    def refresh(self, **body: Any) -> Webhook:
        """Set the end of a hook. Without one in the body, it is 30 days from now, if the hook has an end."""
        hook: Webhook = self.get_object(lock=True)
        now = timezone.now()
        default = hook.expires_at and now + hooks.LIFETIME
        hooks.refresh(hook, body.get("expires_at", default), actor=self.actor, now=now)
        return hook
