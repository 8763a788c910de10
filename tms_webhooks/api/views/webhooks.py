"""Webhooks: list, create, read, change and delete them, and the actions on one webhook; its subscriptions and secrets.

Of a secret there is when it was created and when it ends, never its value. Hooks are webhooks that programs make, refresh and
delete by themselves; each program sees its own ones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.response import Response

from tms_webhooks.api.filters import HookFilterSet, WebhookFilterSet
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
from tms_webhooks.api.serializers.base import apply_and_validate, nested
from tms_webhooks.api.serializers.records import SecretSerializer
from tms_webhooks.api.serializers.results import (
    RevealedSecretSerializer,
    RotatedSecretSerializer,
    WebhookStatsSerializer,
)
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
from tms_webhooks.api.views.examples import ExampleViewSet
from tms_webhooks.api.views.resource import ResourceViewSet, WebhookPartViewSet
from tms_webhooks.choices import Action, Health
from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import SecretError, UnsafeURL
from tms_webhooks.manage import hooks, secrets, subscriptions, webhooks
from tms_webhooks.manage.tests import outside_transactions
from tms_webhooks.models import Subscription, Webhook, WebhookSecret
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.monitoring.figures import WebhookHealth, health_by_webhook, stats
from tms_webhooks.net import urls
from tms_webhooks.snapshot import available


class WebhookViewSet(mixins.ListModelMixin, JobStartingViewSet, ExampleViewSet):
    """Return the webhooks of the caller's organizations. A deleted webhook is not returned, but its log remains."""

    heading = "Webhooks"
    row_kind = "webhook"
    queryset = Webhook.objects.existing().select_related("state").prefetch_related("subscriptions")
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilterSet
    needs = {
        # Conditions of the caller's choice can find out the values of payloads.
        **dict.fromkeys(("explain", "dry_run", "objects", "digests"), Action.VIEW_PAYLOAD),
        **dict.fromkeys(("recover", "replay_missed", "send_now", "cancel_pending", "snapshot"), Action.REPLAY),
        "secret": Action.REVEAL_SECRET,
    }
    # A change is checked as it will be, examples where they are about an object, and a job that cancels sends no event.
    own_only = ("partial_update", "preview", "explain", "cancel_pending")
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
    def rotate_secret(self, overlap_seconds: int | None = None) -> Any:
        """Create a new secret for a webhook and return it. Until the overlap ends, the old secret also signs."""
        webhook, now = self.get_object(lock=True), clock.measured_now()
        default = app_settings.SECRET_OVERLAP_SECONDS
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

    def _response(self, webhook: Webhook, code: int = 200, **more: Any) -> Response:
        """Return the webhook as stored in the database, with its entity tag."""
        webhook = Webhook.objects.select_related("state").prefetch_related("subscriptions").get(pk=webhook.pk)
        return Response({**self.get_serializer(webhook).data, **more}, status=code, headers={"ETag": etag_of(webhook)})


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
        stored = None if subscription._state.adding else subscription
        serializer = self.get_serializer(stored, data=self.request.data, partial=stored is not None)
        serializer.is_valid(raise_exception=True)
        webhook = subscription.webhook
        rows = [*webhook.subscriptions.exclude(pk=subscription.pk), subscription]
        apply_and_validate(subscription, serializer.validated_data, lambda: duplicates(rows).get(len(rows) - 1))
        if "event_type" in serializer.validated_data:
            problems = rendering.problems_for(webhook, [one.event_type for one in rows])
            if problems is not None:
                raise serializers.ValidationError({"event_type": problems.messages})
        return subscription


class HookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Return the hooks that the caller has made, newest first."""

    heading = "Hooks"
    row_kind = "hook"
    queryset = Webhook.objects.prefetch_related("subscriptions")
    serializer_class = HookSerializer
    filterset_class = HookFilterSet

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
