"""The parts of a webhook's form: what everybody needs, folds for the rest with a line on what each sets, and live parts.

Its script loads the filters of an event, objects by name, and the preview.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext, pgettext_lazy

from tms_webhooks.admin.bases import allows, covers_children, organizations
from tms_webhooks.admin.formatting import format_delay, format_moment, format_number
from tms_webhooks.admin.forms.credentials import CREDENTIAL_FIELDS
from tms_webhooks.admin.forms.events import EventRows
from tms_webhooks.admin.forms.fields import action_sentences, attempts_text, blocking_sentence
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action, AuthenticationKind, PayloadDetail, PayloadFormat
from tms_webhooks.delivery import rendering
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats.check import format_problem, names_in
from tms_webhooks.sources import objects
from tms_webhooks.worker.request_preview import RequestPreview, preview_of_event

EVENTS = "tms-events"
"""The class of the fieldset with the events, which has a template of its own."""
FOLD = "tms-fold"

FIELDSETS: Any = (
    (gettext_lazy("General"), {"fields": ("name", "organization", "health", "log")}),
    (gettext_lazy("Endpoint"), {"fields": ("url", "masked_url")}),
    (gettext_lazy("Events"), {"fields": (), "classes": (EVENTS,)}),
    (
        gettext_lazy("Retries and alerts"),
        {
            "fields": (
                "schedule",
                "max_retries",
                "delay_seconds",
                "timeout_seconds",
                "error_action",
                "contacts",
                "enabled",
                "failures",
                "failing_since",
                "paused_until",
                "held_until",
                "last_success",
            ),
            "classes": (FOLD, "retries"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Request"),
        {
            "fields": ("verb", "headers", "header_names", "authentication", *CREDENTIAL_FIELDS, "credentials_shown"),
            "classes": (FOLD, "request"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Content"),
        {
            "fields": ("preset", "format", "payload", "content", "contents", "payload_version"),
            "classes": (FOLD, "content"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Delivery"),
        {
            "fields": (
                "audience",
                "include_children",
                "ordered",
                "max_in_flight",
                "rate_limit_per_second",
                "skip_own",
                "integration_kind",
                "integration_id",
                "pull_only",
            ),
            "classes": (FOLD, "delivery"),
        },
    ),
    (
        gettext_lazy("Security"),
        {"fields": ("signing", "body_signature_header", "body_signature_prefix"), "classes": (FOLD, "security")},
    ),
)
"""The fieldsets of the form. The second class of a fold is its name."""


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of the page. ``name`` is empty for a part that is always open, or else the name of the fold."""

    fieldset: Any
    name: str
    summary: str
    is_open: bool

    @property
    def is_events(self) -> bool:
        """Whether it is the list of events."""
        return EVENTS in str(self.fieldset.classes)


def parts_of(adminform: Any) -> Iterator[FormPart]:
    """Yield the parts of the page, in order. A fold is open if it has an error, or a field that an error mentions."""
    form = adminform.form
    summaries = summaries_of(form.instance)
    for fieldset in adminform:
        classes = str(fieldset.classes).split()
        name = classes[-1] if FOLD in classes else ""
        is_open = any(form.errors.get(one) or one in form.mentioned_fields for one in fieldset.fields)
        yield FormPart(fieldset, name, summaries.get(name, ""), is_open)


def live_texts(webhook: Webhook) -> dict[str, str]:
    """Return the texts of the form that follow from its values, by the name of the element that shows each."""
    actions = {f"action-{value}": sentence for value, sentence in action_sentences(webhook).items()}
    summaries = {f"summary-{name}": text for name, text in summaries_of(webhook).items()}
    return {**actions, **summaries, "blocking": blocking_sentence(webhook)}


def summaries_of(webhook: Webhook) -> Mapping[str, str]:
    """Return what each fold sets, in a line, by the name of the fold."""
    return {
        "retries": _of_retries(webhook),
        "request": _of_request(webhook),
        "content": _of_content(webhook),
        "delivery": _of_delivery(webhook),
        "security": _of_security(webhook),
    }


def _of_retries(webhook: Webhook) -> str:
    names = {
        "": _("Standard schedule"),
        "standard": _("Standard schedule"),
        "skillable": _("Skillable schedule"),
        "none": _("No retries"),
    }
    schedule = webhook.schedule
    name = names.get(schedule, "") if isinstance(schedule, str) else _("Own schedule")
    action = f"{webhook._meta.get_field('error_action').verbose_name}: {webhook.get_error_action_display()}"
    parts = [f"{name}, {attempts_text(webhook)}", action]
    if webhook.delay_seconds:
        parts.append(_("first attempt after %(time)s") % {"time": format_delay(webhook.delay_seconds)})
    if webhook.timeout_seconds:
        parts.append(_("timeout %(time)s") % {"time": format_delay(webhook.timeout_seconds)})
    if not webhook.enabled:
        parts.append(pgettext("webhook", "disabled"))
    return "; ".join(parts)


def _of_request(webhook: Webhook) -> str:
    known = known_headers(webhook.headers)
    if known is None:
        headers = _("headers that can't be read")
    elif known:
        headers = ngettext("%(count)d header", "%(count)d headers", len(known)) % {"count": len(known)}
    else:
        headers = _("no headers")
    is_open = webhook.authentication == AuthenticationKind.NONE
    authentication = _("no authentication") if is_open else str(webhook.get_authentication_display())
    return f"{webhook.verb}, {headers}, {authentication}"


def _of_content(webhook: Webhook) -> str:
    parts = [_("format %(name)s") % {"name": webhook.get_format_display()}]
    own = len(webhook.contents) if webhook.format == PayloadFormat.CUSTOM and isinstance(webhook.contents, dict) else 0
    if own:
        parts.append(ngettext("%(count)d event has its own", "%(count)d events have their own", own) % {"count": own})
    if webhook.payload != PayloadDetail.FULL:
        parts.append(str(webhook.get_payload_display()))
    version = webhook.payload_version
    parts.append(_("newest version") if version is None else _("at most version %(version)d") % {"version": version})
    return ", ".join(parts)


def _of_delivery(webhook: Webhook) -> str:
    parts = [str(webhook.get_audience_display())]
    if webhook.include_children:
        parts.append(_("with child organizations"))
    if webhook.ordered:
        parts.append(_("one request at a time, in order for each object"))
    if webhook.max_in_flight is not None:
        text = ngettext(
            "at most %(count)d request at a time", "at most %(count)d requests at a time", webhook.max_in_flight
        )
        parts.append(text % {"count": webhook.max_in_flight})
    if webhook.rate_limit_per_second:
        rate = format_number(webhook.rate_limit_per_second)
        number = 1 if webhook.rate_limit_per_second == 1 else 2
        text = ngettext("at most %(rate)s request per second", "at most %(rate)s requests per second", number)
        parts.append(text % {"rate": rate})
    if webhook.skip_own:
        parts.append(_("own changes left out"))
    parts.append(_("kept for the feed, nothing is sent") if webhook.pull_only else _("sent to the URL"))
    return "; ".join(parts)


def _of_security(webhook: Webhook) -> str:
    secret = webhook.secrets.filter(expires_at__isnull=True).order_by("-pk").first() if webhook.pk else None
    if secret is not None:
        text = _("Secret created %(moment)s") % {"moment": format_moment(secret.created_at)}
    else:
        text = _("No secret") if webhook.pk else _("A secret is created when you save")
    if webhook.body_signature_header:
        text += f"; {_('body signature in %(name)s') % {'name': webhook.body_signature_header}}"
    return text


# Parts that the script loads

LONGEST_NUMBER = 6
"""Digits of the number of a row."""
PUBLIC_NOUNS = ("course", "class")
"""The nouns of the pickers of filters, whose names are not about people."""


def filters(admin: Any, request: HttpRequest, key: str | None = None) -> HttpResponse:
    """Show the filters of one event: of the stored subscription ``subscription``, or of a new one."""
    webhook = admin.editable(request, key) or Webhook()
    number = request.GET.get("number", "")
    number = number if number.isdecimal() and len(number) <= LONGEST_NUMBER else "0"
    stored = request.GET.get("subscription", "")
    row = EventRows(webhook=webhook).opened(int(number), request.GET.get("event_type", ""), stored)
    return TemplateResponse(request, "admin/tms_webhooks/webhook/event_filters.html", {"row": row})


def found_objects(admin: Any, request: HttpRequest) -> HttpResponse:
    """Return the objects of the noun ``noun`` in the organization ``organization`` that match the text ``q``, as JSON.

    Names of people are payload: their objects need the permission to view payloads.
    """
    noun, organization = request.GET.get("noun", ""), request.GET.get("organization", "")
    action = Action.MANAGE if noun in PUBLIC_NOUNS else Action.VIEW_PAYLOAD
    try:
        viewed = organizations(request, Action.VIEW).filter(pk=organization)
        keys = [key for key in viewed.values_list("pk", flat=True) if allows(request, action, key)]
    except (TypeError, ValueError, ValidationError):
        keys = []
    if not keys or not (admin.has_add_permission(request) or admin.has_change_permission(request)):
        raise PermissionDenied
    found = objects.search(noun, request.GET.get("q", ""), organizations=keys)
    return JsonResponse({"objects": [row._asdict() for row in found]})


def preview(admin: Any, request: HttpRequest, key: str | None = None) -> HttpResponse:
    """Show the request that the posted form would lead to, without saving it.

    Returns a whole page for the button, and the preview alone for the form's script. It shows no header values. The
    event is a sample; or it is about the object with the id ``preview_subject``, for users who may view payloads.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    webhook = admin.editable(request, key)
    form: Any = admin.get_form(request, webhook)(request.POST, instance=webhook)
    form.full_clean()
    event_types = form.events.event_types() or registry.all_types()
    selected = request.POST.get("preview_event", "")
    event_type = next((known for known in registry.all_types() if known.name == selected), event_types[0])
    context = {
        "title": _("Preview"),
        "event_type": event_type.name,
        "preview": _previewed(admin, request, form.instance, event_type),
        "tokens": tokens_of(form.instance, event_types),
        "live": live_texts(form.instance),
    }
    is_part = request.headers.get("X-Requested-With") == "fetch"
    return admin.page(request, f"webhook/{'preview_part' if is_part else 'preview'}", webhook, **context)


def _previewed(admin: Any, request: HttpRequest, webhook: Webhook, event_type: EventType) -> RequestPreview:
    """Return the request for the sample of an event type, or for an event about the object with the posted id."""
    key, own, action = request.POST.get("preview_subject", "").strip(), webhook.organization_id, Action.VIEW_PAYLOAD
    if not key:
        return preview_of(webhook, event_type)
    if not own:
        return RequestPreview(problem=_("Select the organization that the object belongs to."))
    allowed = allows(request, Action.VIEW, own) and allows(request, action, own)
    if not allowed or not covers_children(request, action, webhook):
        return RequestPreview(problem=_("You may not view payloads of this organization."))
    subject, by = f"{event_type.noun.name}:{key}", admin.by(request)
    try:
        event = example_event(webhook, event_type.name, subject=subject, **by)
        return preview_of_event(webhook, event, now=by["now"])
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
