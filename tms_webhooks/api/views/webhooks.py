"""Webhooks: list, create, read, change and delete them, and the actions on one webhook; its subscriptions and secrets.

Of a secret there is when it was created and when it ends, never its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import mixins, serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from tms_webhooks.api.filters import WebhookFilterSet
from tms_webhooks.api.problems import Problem
from tms_webhooks.api.safe_writes import etag_of
from tms_webhooks.api.schema.resources import ETAG, IF_MATCH, LOCATION, extend_schema, row_action, writes
from tms_webhooks.api.serializers.actions import (
    DateRangeSerializer,
    DryRunSerializer,
    EmptySerializer,
    RecoverSerializer,
    SecretRotationSerializer,
    SnapshotNounsSerializer,
    SnapshotSerializer,
)
from tms_webhooks.api.serializers.base import nested, to_drf_detail
from tms_webhooks.api.serializers.records import SecretSerializer
from tms_webhooks.api.serializers.results import (
    RevealedSecretSerializer,
    RotatedSecretSerializer,
    WebhookStatsSerializer,
)
from tms_webhooks.api.serializers.webhooks import (
    CreatedWebhookSerializer,
    SubscriptionSerializer,
    WebhookSerializer,
    WebhookUpdateSerializer,
)
from tms_webhooks.api.views.comparison import COMPARISON_PARAMETERS, ComparisonViewSet
from tms_webhooks.api.views.examples import EXPLAIN_PARAMETERS, ExampleViewSet
from tms_webhooks.api.views.jobs import JOBS_OR_COUNT, JobStartingViewSet
from tms_webhooks.api.views.resource import WebhookPartViewSet
from tms_webhooks.choices import Action, Health, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import SecretError, UnsafeURL
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.manage.tests import outside_transactions
from tms_webhooks.models import Subscription, Webhook, WebhookSecret
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.monitoring.figures import WebhookHealth, health_by_webhook, stats
from tms_webhooks.net import urls
from tms_webhooks.net.resolver import system_resolver
from tms_webhooks.snapshot import available


class WebhookViewSet(mixins.ListModelMixin, JobStartingViewSet, ExampleViewSet, ComparisonViewSet):
    """Return the webhooks of the caller's organizations. A deleted webhook is not returned, but its log remains."""

    heading = "Webhooks"
    row_kind = "webhook"
    queryset = Webhook.objects.existing().select_related("state").prefetch_related("subscriptions")
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilterSet
    needs = {
        # Conditions of the caller's choice can find out the values of payloads.
        "explain": Action.VIEW_PAYLOAD,
        "dry_run": Action.VIEW_PAYLOAD,
        "objects": Action.VIEW_PAYLOAD,
        "digests": Action.VIEW_PAYLOAD,
        "secret": Action.REVEAL_SECRET,
        "recover": Action.REPLAY,
        "replay_missed": Action.REPLAY,
        "send_now": Action.REPLAY,
        "cancel_pending": Action.REPLAY,
        "snapshot": Action.REPLAY,
    }
    # A change is checked as it will be, examples where they are about an object, and a job that cancels sends no event.
    own_only = ("partial_update", "preview", "explain", "cancel_pending")
    parameters = {"explain": EXPLAIN_PARAMETERS, **COMPARISON_PARAMETERS}
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
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        # Names are looked up only for callers who may set one.
        self.require(Action.MANAGE, serializer.validated_data["organization_id"])
        refuse_unreachable(request.data)

        def create() -> Response:
            now, values = timezone.now(), dict(serializer.validated_data)
            subscriptions = values.pop("subscriptions", ())
            webhook = Webhook(**values)
            self.require_children(Action.MANAGE, webhook)
            subscriptions = [Subscription(webhook=webhook, **one) for one in subscriptions]
            webhooks.create(webhook, subscriptions, actor=self.actor, now=now)
            (secret,) = webhook.signing_secrets(now)
            response = self._response(webhook, status.HTTP_201_CREATED, secret=secret)
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

    @writes(parameters=[IF_MATCH])
    def destroy(self) -> Response:
        """Delete a webhook and cancel its queued deliveries. Its deliveries stay in the log."""
        self._after(webhooks.delete)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @row_action(WebhookSerializer, IF_MATCH, ETAG, body=EmptySerializer)
    def enable(self) -> Response:
        """Enable a webhook and reset its failures. Missed deliveries stay skipped until they are replayed."""
        return self._response(self._after(webhooks.enable))

    @row_action(WebhookSerializer, IF_MATCH, ETAG, body=EmptySerializer)
    def disable(self) -> Response:
        """Disable a webhook: it gets no more requests. Its queued and future deliveries are recorded as skipped."""
        return self._response(self._after(webhooks.disable))

    @row_action(RotatedSecretSerializer, IF_MATCH, ETAG, body=SecretRotationSerializer, url_path="rotate-secret")
    def rotate_secret(self, overlap_seconds: int | None = None) -> Any:
        """Create a new secret for a webhook and return it. Until the overlap ends, the old secret also signs."""
        webhook, now = self.get_object(lock=True), clock.measured_now()
        default = int(app_settings.SECRET_OVERLAP_SECONDS)
        overlap = timedelta(seconds=default if overlap_seconds is None else overlap_seconds)
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
        """Start a job that sends failed and cancelled deliveries of a time range again."""
        return self.start_or_count(JobKind.RECOVER, body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DateRangeSerializer, url_path="replay-missed")
    def replay_missed(self, **body: Any) -> Response:
        """Start a job that sends the events that match the current subscriptions and were never sent."""
        return self.start_or_count(JobKind.REPLAY_MISSED, body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DryRunSerializer, url_path="cancel-pending")
    def cancel_pending(self, **body: Any) -> Response:
        """Start a job that cancels the queued deliveries of a webhook."""
        return self.start_or_count(JobKind.CANCEL_PENDING, body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=DryRunSerializer, url_path="send-now")
    def send_now(self, **body: Any) -> Response:
        """Start a job that makes an extra attempt of each queued delivery now, which uses up no retry. It ends a pause."""
        return self.start_or_count(JobKind.SEND_NOW, body)

    @row_action(JOBS_OR_COUNT, LOCATION, body=SnapshotSerializer)
    def snapshot(self, **body: Any) -> Response:
        """Start a job that sends the current state of every object of some nouns, as the webhook would receive it."""
        return self.start_or_count(JobKind.SNAPSHOT, body)

    @extend_schema(responses=SnapshotNounsSerializer)
    @snapshot.mapping.get  # type: ignore[attr-defined, untyped-decorator]
    def snapshot_nouns(self, request: Any, pk: str) -> Response:
        """Return the nouns that a snapshot of a webhook can have."""
        return Response({"nouns": available(self.get_object())})

    @row_action(WebhookStatsSerializer)
    def stats(self) -> Any:
        """Return the delivery statistics of a webhook."""
        now = timezone.now()
        figures = stats(now=now, webhooks=Webhook.objects.filter(pk=self.get_object().pk))
        (of_webhook,) = figures.webhooks
        return {**asdict(of_webhook), "lag": figures.lag, "as_of": now}

    def _after(self, verb: Callable[..., None]) -> Webhook:
        """Do a verb of `tms_webhooks.manage.webhooks` with the webhook of the URL, and return that."""
        webhook: Webhook = self.get_object(lock=True)
        verb(webhook, actor=self.actor, now=timezone.now())
        return webhook

    def _response(self, webhook: Webhook, code: int = status.HTTP_200_OK, **more: Any) -> Response:
        """Return the webhook as stored in the database, with its entity tag."""
        webhook = Webhook.objects.select_related("state").prefetch_related("subscriptions").get(pk=webhook.pk)
        data = {**self.get_serializer(webhook).data, **more}
        return Response(data, status=code, headers={"ETag": etag_of(webhook)})


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
                urls.check_url(url, resolve=system_resolver)
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

    @writes(parameters=[IF_MATCH, ETAG, LOCATION])
    def create(self) -> Response:
        """Add a subscription to a webhook."""
        webhook = self.webhook(lock=True)
        subscription = self._changed(Subscription(webhook=webhook))
        subscriptions.add(webhook, [subscription], actor=self.actor, now=timezone.now())
        subscription.refresh_from_db()
        url = self.url_of("subscription-detail", webhook_id=webhook.public_id, pk=subscription.public_id)
        data = self.get_serializer(subscription).data
        return Response(data, status=status.HTTP_201_CREATED, headers={"Location": url})

    @writes(parameters=[IF_MATCH, ETAG])
    def partial_update(self) -> Response:
        """Change the fields in the body. Other fields stay as they are."""
        self.webhook(lock=True)
        subscription = self._changed(self.get_object())
        subscriptions.update(subscription, actor=self.actor, now=timezone.now())
        subscription.refresh_from_db()
        return Response(self.get_serializer(subscription).data)

    @writes(parameters=[IF_MATCH])
    def destroy(self) -> Response:
        """Delete a subscription. Queued deliveries are still sent."""
        self.webhook(lock=True)
        subscriptions.remove(self.get_object(), actor=self.actor, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _changed(self, subscription: Subscription) -> Subscription:
        """Set the values of the body; raise ``ValidationError`` if the webhook's content or URL is invalid for its events."""
        stored = None if subscription._state.adding else subscription
        serializer = self.get_serializer(stored, data=self.request.data, partial=stored is not None)
        serializer.is_valid(raise_exception=True)
        for name, value in serializer.validated_data.items():
            setattr(subscription, name, value)
        webhook = subscription.webhook
        rows = [*webhook.subscriptions.exclude(pk=subscription.pk), subscription]
        if error := duplicates(rows).get(len(rows) - 1):
            raise serializers.ValidationError(to_drf_detail(error))
        if "event_type" in serializer.validated_data:
            problems = rendering.problems_for(webhook, [one.event_type for one in rows])
            if problems is not None:
                raise serializers.ValidationError({"event_type": problems.messages})
        return subscription
