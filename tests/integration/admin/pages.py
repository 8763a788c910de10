"""Where the pages are on each of the two sites, who opens them, and how their forms are filled in."""

import html
import re
from collections.abc import Collection

from django.contrib.auth.models import Permission
from django.urls import reverse

from example_project.training.access import TrainingPolicy
from example_project.training.factories import UserFactory
from tms_webhooks.admin.forms.credentials import mask
from tms_webhooks.choices import Action
from tms_webhooks.conf import CUSTOMER_SITE
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import known_headers

STAFF, CUSTOMERS = "admin", CUSTOMER_SITE
site = STAFF
"""The site whose addresses `named` returns; the fixture ``site`` replaces it."""


def named(name, *args):
    """Return the address of a page by its name: index, autocomplete, tms_webhooks_dashboard."""
    return reverse(f"{site}:{name}", args=args)


def url(model, page, *args):
    """Return the address of a page: changelist, add, change, delete, history."""
    return named(f"{model._meta.app_label}_{model._meta.model_name}_{page}", *args)


def administrator_of(organization, **values):
    """Return a user who may do everything in an organization on the present site: staff with permissions, or neither."""
    user = UserFactory(organization=organization, is_staff=site == STAFF, **values)
    if site == STAFF:
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="tms_webhooks"))
    else:
        user.managed_organizations.add(organization)
    return user


def text_of(response):
    """Return the page as a person reads it: without tags and entities, with single blanks."""
    assert response.status_code == 200
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def shown_at(client, address, data=None):
    """Open a page, and return its text."""
    return text_of(client.get(address, data or {}))


class Denying(TrainingPolicy):
    """Allows what the example's policy allows, but none of ``actions`` in the organizations ``below`` others, or in any."""

    actions: Collection[Action] = ()
    below: bool = False

    def organizations(self, request, action):
        rows = super().organizations(request, action)
        return rows if action not in self.actions else rows.filter(parent=None) if self.below else rows.none()


def form_of(webhook=None, *, events=None, **values):
    """Return the posted data: the current form of ``webhook``, or a valid new form, with these changes."""
    fields = {
        "name": "CRM",
        "audience": "owner",
        "verb": "POST",
        "url": "https://crm.example.com/hook",
        "headers": "",
        "authentication": "none",
        "body_signature_prefix": "on",
        "format": "standard",
        "payload": "full",
        "content": "",
        "timeout_seconds": "20",
        "delay_seconds": "0",
        "max_in_flight": "",
        "rate_limit_per_second": "",
        "schedule": "",
        "max_retries": "",
        "error_action": "log",
        "contacts": "",
        "enabled": "on",
    }
    if webhook is not None:
        fields |= {
            "name": webhook.name,
            "url": webhook.url,
            "headers": mask(known_headers(Webhook.objects.get(pk=webhook.pk).headers)),
            "format": webhook.format,
            "payload": webhook.payload,
            "content": webhook.content,
            "enabled": "on" if webhook.enabled else "",
        }
    fields |= values
    # A select, and a text for own delays.
    schedule = str(fields.pop("schedule"))
    is_own = any(character.isdigit() for character in schedule)
    fields |= {"schedule": "own" if is_own else schedule or "standard", "own_delays": schedule if is_own else ""}
    contents = fields.pop("contents", {})
    fields |= {"contents-event": [*contents], "contents-text": [*contents.values()]}
    if events is None:
        events = ["class.*"] if webhook is None else [one.event_type for one in webhook.subscriptions.all()]
    fields["events"] = events
    # A box that is not checked is not sent.
    return {name: value for name, value in fields.items() if not (name in ("enabled", "ordered") and not value)}


def filters_of(prefix, **values):
    """Return the posted filters of a subscription: one that is stored, by its public id, or a new one, by its event."""
    return {"filters": [prefix], **{f"{prefix}-{name}": value for name, value in values.items()}}


def errors_at(response):
    """Return the errors of a returned form by field, after checking that the page shows them."""
    assert response.status_code == 200
    form = response.context["adminform"].form
    found = dict(form.errors)
    page = html.unescape(response.content.decode())
    for messages in found.values():
        assert all(message in page for message in messages)
    return {name: [str(message) for message in messages] for name, messages in found.items()}
