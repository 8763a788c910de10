"""A verifying receiver for tests, and a function that delivers without a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from django.conf import settings
from django.test.utils import override_settings
from django.utils import timezone

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.listener import Listener, ReceivedRequest, ScriptedResponse
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain, Tally

LOOPBACK = "127.0.0.1"


def deliver_now() -> Tally:
    """Deliver in this thread until nothing is due; return the numbers. Needs neither a worker nor a queue."""
    return Drain(fan_out=fan_out).run(until_idle=True)


class WebhookReceiver:
    """A receiver on this machine. Inside its ``with`` block, the settings allow webhooks to call it.

    It answers 204 to requests that verify, and 401 to others. For other answers, set ``answer`` to a `ScriptedResponse`,
    such as ``ScriptedResponse(503)``, or to a function that takes a request and returns one.
    """

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.answer: ScriptedResponse | Callable[[ReceivedRequest], ScriptedResponse] | None = None
        self._secrets: list[str] = []
        self._listener: Listener | None = None
        self._override: Any = None

    def __enter__(self) -> WebhookReceiver:
        self._listener = Listener(self._respond, secrets=lambda: self._secrets)
        allowed = {
            "ALLOWED_SCHEMES": [*app_settings.ALLOWED_SCHEMES, "http"],
            "ALLOWED_HOSTS": [*app_settings.ALLOWED_HOSTS, LOOPBACK],
            "ALLOWED_PORTS": [*app_settings.ALLOWED_PORTS, self._listener.port],
        }
        self._override = override_settings(**{SETTING_NAME: {**getattr(settings, SETTING_NAME, {}), **allowed}})
        self._override.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._override.disable()
        if self._listener is not None:
            self._listener.close()

    @property
    def url(self) -> str:
        """The URL on which it listens."""
        if self._listener is None:
            raise RuntimeError("The receiver listens only inside its with block.")
        return f"http://{LOOPBACK}:{self._listener.port}/"

    @property
    def events(self) -> list[Any]:
        """The events of the requests that verified, parsed from JSON."""
        return [request.event for request in self.requests if request.verified]

    def subscribe(self, organization: Any, *event_types: str, **fields: Any) -> Webhook:
        """Create a webhook of an organization for this receiver, with these event types or patterns."""
        webhook = Webhook.objects.create(
            **{"organization": organization, "name": "Test receiver", "url": self.url, **fields}
        )
        for event_type in event_types:
            Subscription.objects.create(webhook=webhook, event_type=event_type)
        self.trust(webhook)
        return webhook

    def trust(self, webhook: Webhook) -> Sequence[str]:
        """Verify with the webhook's present secrets from now on, for example after a rotation; return them."""
        secrets = webhook.signing_secrets(timezone.now())
        self._secrets += secrets
        return secrets

    def _respond(self, request: ReceivedRequest) -> ScriptedResponse:
        self.requests.append(request)
        if isinstance(self.answer, ScriptedResponse):
            return self.answer
        if self.answer is not None:
            return self.answer(request)
        return ScriptedResponse() if request.verified else ScriptedResponse(401)
