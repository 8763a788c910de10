"""The admin pages, one module per model. Importing a module registers its pages.

A host adds `WebhookInline` to its own organization page.
"""

from __future__ import annotations

from tms_webhooks.admin import addresses, audit, deliveries, events, jobs, webhooks
from tms_webhooks.admin.organizations import WebhookInline

__all__ = ["WebhookInline", "addresses", "audit", "deliveries", "events", "jobs", "webhooks"]
