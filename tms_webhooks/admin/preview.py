"""The preview of a webhook's requests: the submitted form values applied to a sample event, without saving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from tms_webhooks.access import get_policy
from tms_webhooks.admin.form_layout import live_texts
from tms_webhooks.admin.scope import allows, covers_children
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats.check import format_problem, names_in
from tms_webhooks.worker.request_preview import RequestPreview, preview_of_event


def preview_context(request: HttpRequest, form: Any) -> dict[str, Any]:
    """Return what the page shows of the request that a posted form would lead to, without header values.

    The event is a sample; or it is about the object with the id ``preview_subject``, for users who may view payloads.
    """
    webhook = form.instance
    event_types = form.events.event_types() or registry.all_types()
    selected = request.POST.get("preview_event", "")
    event_type = next((one for one in registry.all_types() if one.name == selected), event_types[0])
    return {
        "preview": _preview(request, webhook, event_type),
        "tokens": tokens_of(webhook, event_types),
        "live": live_texts(webhook),
    }


def _preview(request: HttpRequest, webhook: Webhook, event_type: EventType) -> RequestPreview:
    key = request.POST.get("preview_subject", "").strip()
    if not key:
        return preview_of(webhook, event_type)
    if not webhook.organization_id:
        return RequestPreview(problem=_("Select the organization that the object belongs to."))
    action, own = Action.VIEW_PAYLOAD, webhook.organization_id
    allowed = allows(request, Action.VIEW, own) and allows(request, action, own)
    if not allowed or not covers_children(request, action, webhook):
        return RequestPreview(problem=_("You may not view payloads of this organization."))
    actor, subject, now = get_policy().caller(request), f"{event_type.noun.name}:{key}", timezone.now()
    try:
        event = example_event(webhook, event_type.name, subject=subject, actor=actor, now=now)
        return preview_of_event(webhook, event, now=now)
    except WebhooksError as error:
        return RequestPreview(problem=str(error))


def preview_of(webhook: Webhook, event_type: EventType) -> RequestPreview:
    """Return the request that a webhook would send for the sample of an event type."""
    if problem := format_problem(rendering.shape_of(webhook, known_headers(webhook.headers) or {}), event_type):
        return RequestPreview(problem=" ".join(problem.messages))
    event = Event(type=event_type.name, body=to_text(event_type.example()))
    return preview_of_event(webhook, event, now=timezone.now())


def tokens_of(webhook: Webhook, event_types: Iterable[EventType]) -> list[str]:
    """Return the tokens that the URL and the content may use for these events."""
    shape = rendering.shape_of(webhook, {})
    names = [name for name, is_included in names_in(shape, event_types).items() if is_included]
    return sorted(names, key=lambda name: (name[0].isupper(), not name.startswith("data."), name))
