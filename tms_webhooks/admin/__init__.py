"""The admin pages, one module per model. Importing a module registers its pages.

A host adds `WebhookInline` to its own organization page. `CustomerSite` has the same pages for users who are not staff, and
`customer_link` opens it for users of another system.
"""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if not apps.is_installed("django.contrib.admin"):
    raise ImproperlyConfigured(
        "tms_webhooks.admin uses the templates of django.contrib.admin, which is not installed. Add it to INSTALLED_APPS; "
        "its own site needs no URL."
    )

from tms_webhooks.admin import deliveries, events, records, webhooks
from tms_webhooks.admin.links import customer_link
from tms_webhooks.admin.organizations import WebhookInline
from tms_webhooks.admin.site import CustomerSite

__all__ = ["CustomerSite", "WebhookInline", "customer_link", "deliveries", "events", "records", "webhooks"]
