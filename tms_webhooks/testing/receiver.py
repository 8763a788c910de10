"""A receiver that verifies, and deliveries at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from django.conf import settings
from django.test.utils import override_settings
from django.utils import timezone

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.listener import Incoming, Listener, ScriptedResponse
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain, Tally

LOOPBACK = "127.0.0.1"


def deliver_now() -> Tally:
    """Deliver what is due, in this thread, until nothing is; return how much it was. No worker and no queue is needed."""
    return Drain(fan_out=fan_out).run(until_idle=True)


class WebhookReceiver:
    """A receiver on this machine for the length of a ``with`` block, which webhooks may reach meanwhile.

    It answers 204 to what verifies and 401 to the rest. Put an `Answer`, or a function from a request to one, into
    ``answer`` for something else, such as ``Answer(503)``.
    """

    def __init__(self) -> None:
        self.requests: list[Incoming] = []
        self.answer: ScriptedResponse | Callable[[Incoming], ScriptedResponse] | None = None
        self._secrets: list[str] = []
        self._listener: Listener | None = None
        self._overriding: Any = None

    def __enter__(self) -> WebhookReceiver:
        self._listener = Listener(self._respond, secrets=lambda: self._secrets)
        allowed = {
            "ALLOWED_SCHEMES": [*app_settings.ALLOWED_SCHEMES, "http"],
            "ALLOWED_HOSTS": [*app_settings.ALLOWED_HOSTS, LOOPBACK],
            "ALLOWED_PORTS": [*app_settings.ALLOWED_PORTS, self._listener.port],
        }
        self._overriding = override_settings(**{SETTING_NAME: {**getattr(settings, SETTING_NAME, {}), **allowed}})
        self._overriding.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._overriding.disable()
        if self._listener is not None:
            self._listener.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._listener is None:
            raise RuntimeError("The receiver listens inside its with block only.")
        return f"http://{LOOPBACK}:{self._listener.port}/"

    @property
    def events(self) -> list[Any]:
        """The events that came and verified, as JSON."""
        return [request.event for request in self.requests if request.verified]

    def subscribe(self, organization: Any, *event_types: str, **fields: Any) -> Webhook:
        """Make a webhook of an organization to this receiver, subscribed to these events or patterns."""
        webhook = Webhook.objects.create(
            **{"organization": organization, "name": "Test receiver", "url": self.url, **fields}
        )
        for event_type in event_types:
            Subscription.objects.create(webhook=webhook, event_type=event_type)
        self.trust(webhook)
        return webhook

    def trust(self, webhook: Webhook) -> Sequence[str]:
        """Take a webhook's present secrets to verify with, as after a rotation; return them."""
        secrets = webhook.signing_secrets(timezone.now())
        self._secrets += secrets
        return secrets

    def _respond(self, request: Incoming) -> ScriptedResponse:
        self.requests.append(request)
        if isinstance(self.answer, ScriptedResponse):
            return self.answer
        if self.answer is not None:
            return self.answer(request)
        return ScriptedResponse() if request.verified else ScriptedResponse(401)
