"""The parts of a webhook's form: what everybody needs, folds for the rest with a line on what each sets, and live parts.

Its script loads objects by name, and the preview.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from tms_webhooks.admin.bases import allowed_among, allows, may_view_all_payloads, organizations, permits
from tms_webhooks.admin.formatting import format_moment
from tms_webhooks.admin.forms.credentials import CREDENTIAL_FIELDS
from tms_webhooks.admin.forms.fields import attempts_text, shown_value
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action
from tms_webhooks.delivery.outgoing import shape_of
from tms_webhooks.documents.request_preview import RequestPreview, preview_of_event
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.filters.criteria import ORGANIZATION
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import descendants
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.payloads.envelope import to_text
from tms_webhooks.payloads.formats.check import format_problem, names_in
from tms_webhooks.sources import objects

EVENTS = "tms-events"
"""The class of the fieldset with the events, which has a template of its own."""
FOLD = "tms-fold"

FIELDSETS: Any = (
    (gettext_lazy("General"), {"fields": ("name", "organization", "enabled", "health")}),
    (gettext_lazy("Endpoint"), {"fields": ("url", "masked_url")}),
    (gettext_lazy("Events"), {"fields": (), "classes": (EVENTS,)}),
    (
        gettext_lazy("Retries and alerts"),
        {
            "fields": (
                "schedule",
                "own_delays",
                "max_retries",
                "delay_seconds",
                "timeout_seconds",
                "error_action",
                "contacts",
            ),
            "classes": (FOLD, "retries"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Request"),
        {
            "fields": ("verb", "headers", "header_names", "authentication", *CREDENTIAL_FIELDS),
            "classes": (FOLD, "request"),
        },
    ),
    (
        pgettext_lazy("part of a form", "Content"),
        {
            "fields": ("preset", "format", "payload", "content", "contents"),
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


def parts_of(adminform: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of the page, in order, those that are folded with a name. A fold is open if it has an error."""
    form = adminform.form
    for fieldset in adminform:
        classes = str(fieldset.classes).split()
        name = classes[-1] if FOLD in classes else ""
        is_open = any(form.errors.get(one) for one in fieldset.fields)
        part = {"fieldset": fieldset, "name": name, "is_open": is_open, "is_events": EVENTS in classes}
        yield {**part, "summary": summary_of(form.instance, name)}


SUMMARIES = {
    "retries": ("schedule", "error_action", "delay_seconds", "timeout_seconds", "contacts"),
    "request": ("verb", "authentication"),
    "content": ("format", "payload"),
    "delivery": (
        "audience",
        "include_children",
        "ordered",
        "max_in_flight",
        "rate_limit_per_second",
        "skip_own",
        "pull_only",
    ),
    "security": ("body_signature_header",),
}
"""The fields that the line of each fold names: the first ones of `ALWAYS`, and others that differ from the default."""
ALWAYS = {"error_action", "verb", "authentication", "format", "audience"}


def summary_of(webhook: Webhook, name: str) -> str:
    """Return what a fold sets, in a line."""
    parts = []
    if name == "retries":
        parts.append(attempts_text(webhook))
    elif name == "request":
        known = known_headers(webhook.headers)
        text = ngettext("%(count)d header", "%(count)d headers", len(known or ())) % {"count": len(known or ())}
        parts.append(_("headers that can't be read") if known is None else text)
    elif name == "security":
        secret = webhook.secrets.filter(expires_at__isnull=True).order_by("-pk").first() if webhook.pk else None
        created = secret and _("Secret created %(moment)s") % {"moment": format_moment(secret.created_at)}
        parts.append(created or (_("No secret") if webhook.pk else _("A secret is created when you save")))
    for field_name in SUMMARIES.get(name, ()):
        field: Any = Webhook._meta.get_field(field_name)
        value = getattr(webhook, field_name)
        if field_name in ALWAYS or value != field.get_default():
            parts.append(f"{field.verbose_name}: {shown_value(field, value)}")
    return capfirst("; ".join(parts))


# Parts that the script loads

PUBLIC_NOUNS = ("course", "class", "organization")
"""The nouns of the pickers of filters, whose names are not about people."""


def filters(admin: Any, request: HttpRequest, key: str | None = None) -> HttpResponse:
    """Show the fields of the filters that the parameter ``filters`` names, as a part of the form."""
    webhook = admin.editable(request, key)
    line = next((line for line in admin.get_form(request, webhook)(instance=webhook).lines if line.form), None)
    if line is None:
        raise Http404
    return admin.page(request, "webhook/filters", webhook, line=line)


def found_objects(admin: Any, request: HttpRequest) -> HttpResponse:
    """Return the objects of the noun ``noun`` in the organization ``organization`` that match the text ``q``, as JSON.

    With ``branches``, also those of the organizations below it. Names of people are payload: their objects need the
    permission to view payloads.
    """
    # PostgreSQL refuses a NUL in a text.
    given = (request.GET.get(name, "") for name in ("noun", "organization", "q"))
    noun, organization, text = (value.replace("\x00", "") for value in given)
    is_public, viewed = noun in PUBLIC_NOUNS, organizations(request, Action.VIEW)
    action = Action.MANAGE if is_public else Action.VIEW_PAYLOAD
    try:
        keys = set(viewed.filter(pk=organization).values_list("pk", flat=True))
    except (TypeError, ValueError, ValidationError):
        raise PermissionDenied from None
    keys = descendants(keys, using=viewed.db) if "branches" in request.GET else keys
    keys = allowed_among(request, Action.VIEW, keys) & allowed_among(request, action, keys)
    may_read = is_public or permits(request, "view_event")
    if not (keys and may_read and (admin.has_add_permission(request) or admin.has_change_permission(request))):
        raise PermissionDenied
    if noun == ORGANIZATION:
        named = ((one.pk, str(one)) for one in viewed.filter(pk__in=keys))
        matching = ((key, name) for key, name in named if text.casefold() in f"{name} {key}".casefold())
        found = dict(islice(matching, objects.MOST_FOUND))
    else:
        found = objects.search(noun, text, organizations=keys)
    return JsonResponse({"objects": [{"id": str(key), "label": label} for key, label in found.items()]})


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
    event_types = form.event_types or registry.all_types()
    selected = request.POST.get("preview_event", "")
    event_type = next((known for known in registry.all_types() if known.name == selected), event_types[0])
    context = {
        "title": _("Preview"),
        "event_type": event_type.name,
        "preview": _previewed(admin, request, form.instance, event_type),
        "tokens": tokens_of(form.instance, event_types),
        "summaries": {name: summary_of(form.instance, name) for name in SUMMARIES},
    }
    is_part = request.headers.get("X-Requested-With") == "fetch"
    return admin.page(request, f"webhook/{'preview_part' if is_part else 'preview'}", webhook, **context)


def _previewed(admin: Any, request: HttpRequest, webhook: Webhook, event_type: EventType) -> RequestPreview:
    """Return the request for the sample of an event type, or for an event about the object with the posted id."""
    key, own = request.POST.get("preview_subject", "").strip(), webhook.organization_id
    if not key:
        return preview_of(webhook, event_type)
    if not own:
        return RequestPreview(problem=_("Select the organization that the object belongs to."))
    if not (allows(request, Action.VIEW, own) and may_view_all_payloads(request, webhook)):
        return RequestPreview(problem=_("You may not view payloads of this organization."))
    subject, by = f"{event_type.noun.name}:{key}", admin.by(request)
    try:
        event = example_event(webhook, event_type.name, subject=subject, **by)
        return preview_of_event(webhook, event, now=by["now"])
    except WebhooksError as error:
        return RequestPreview(problem=str(error))


def preview_of(webhook: Webhook, event_type: EventType) -> RequestPreview:
    """Return the request that a webhook would send for the sample of an event type."""
    if problem := format_problem(shape_of(webhook, known_headers(webhook.headers) or {}), event_type):
        return RequestPreview(problem=" ".join(problem.messages))
    event = Event(type=event_type.name, body=to_text(event_type.example()))
    return preview_of_event(webhook, event, now=timezone.now())


def tokens_of(webhook: Webhook, event_types: Iterable[EventType]) -> list[str]:
    """Return the tokens that the URL and the content may use for these events."""
    shape = shape_of(webhook, {})
    names = [name for name, is_included in names_in(shape, event_types).items() if is_included]
    return sorted(names, key=lambda name: (name[0].isupper(), not name.startswith(("data.", "details.")), name))
