"""The preview of a webhook's requests: the submitted form values applied to a sample event, without saving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from tms_webhooks.access import get_policy
from tms_webhooks.actors import Actor
from tms_webhooks.admin.form_layout import live_texts
from tms_webhooks.admin.scope import allows, covers_children
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action, Verb
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats.check import format_problem, names_in
from tms_webhooks.validators import parse_headers
from tms_webhooks.worker.request_preview import preview_of_event


@dataclass(frozen=True, slots=True)
class PreviewedRequest:
    """The request for an event; ``problem`` is set if it can't be built.

    ``empty_tokens`` are the tokens of the URL and the content that have no value in the event. ``unknown_tokens`` are
    those that no event of its type has.
    """

    event_type: str
    verb: str = ""
    url: str = ""
    content_type: str = ""
    body: str = ""
    problem: str = ""
    empty_tokens: Sequence[str] = ()
    unknown_tokens: Sequence[str] = ()


def preview_context(request: HttpRequest, form: Any) -> dict[str, Any]:
    """Return what the page shows of the request that a posted form would lead to, without header values.

    The event is a sample; or it is about the object with the id ``preview_subject``, for users who may view payloads.
    """
    webhook = form.instance
    event_types = form.events.event_types() or registry.all_types()
    selected = request.POST.get("preview_event", "")
    event_type = next((one for one in registry.all_types() if one.name == selected), event_types[0])
    return {
        "preview": _with_unknown_tokens(_preview(request, webhook, event_type), webhook, event_type),
        "tokens": tokens_of(webhook, event_types),
        "live": live_texts(webhook),
    }


def _preview(request: HttpRequest, webhook: Webhook, event_type: EventType) -> PreviewedRequest:
    key = request.POST.get("preview_subject", "").strip()
    if not key:
        return preview_of(webhook, event_type)
    if not webhook.organization_id:
        return PreviewedRequest(event_type.name, problem=_("Select the organization that the object belongs to."))
    action, own = Action.VIEW_PAYLOAD, webhook.organization_id
    allowed = allows(request, Action.VIEW, own) and allows(request, action, own)
    if not allowed or not covers_children(request, action, webhook):
        return PreviewedRequest(event_type.name, problem=_("You may not view payloads of this organization."))
    return preview_of_object(webhook, event_type, key, actor=get_policy().caller(request))


def preview_of_object(webhook: Webhook, event_type: EventType, key: str, *, actor: Actor) -> PreviewedRequest:
    """Return the request that a webhook would send for an event about the object with this id."""
    now = timezone.now()
    try:
        event = example_event(webhook, event_type.name, subject=f"{event_type.noun.name}:{key}", actor=actor, now=now)
        return _previewed(webhook, event)
    except WebhooksError as error:
        return PreviewedRequest(event_type.name, problem=str(error))


def preview_of(webhook: Webhook, event_type: EventType) -> PreviewedRequest:
    """Return the request that a webhook would send for the sample of an event type."""
    if problem := format_problem(rendering.shape_of(webhook, _headers(webhook)), event_type):
        return PreviewedRequest(event_type.name, problem=" ".join(problem.messages))
    return _previewed(webhook, Event(type=event_type.name, body=to_text(event_type.example())))


def _previewed(webhook: Webhook, event: Event) -> PreviewedRequest:
    found = preview_of_event(webhook, event, now=timezone.now())
    content_type = {name.lower(): value for name, value in found.headers.items()}.get("content-type", "")
    verb = found.method if found.method in Verb.values else ""
    return PreviewedRequest(event.type, verb, found.url, content_type, found.pretty, found.problem, found.empty_tokens)


def _with_unknown_tokens(preview: PreviewedRequest, webhook: Webhook, event_type: EventType) -> PreviewedRequest:
    """Separate misspelled tokens from empty ones."""
    if not preview.empty_tokens:
        return preview
    known = names_in(rendering.shape_of(webhook, {}), [event_type])
    unknown = [name for name in preview.empty_tokens if name not in known]
    return replace(
        preview, empty_tokens=[name for name in preview.empty_tokens if name in known], unknown_tokens=unknown
    )


def tokens_of(webhook: Webhook, event_types: Iterable[EventType]) -> list[str]:
    """Return the tokens that the URL and the content may use for these events."""
    shape = rendering.shape_of(webhook, {})
    names = [name for name, is_included in names_in(shape, event_types).items() if is_included]
    return sorted(names, key=lambda name: (name[0].isupper(), not name.startswith("data."), name))


def _headers(webhook: Webhook) -> dict[str, str]:
    try:
        return parse_headers(reveal(webhook.headers), custom_body=True)
    except (WebhooksError, ValidationError):
        return {}
