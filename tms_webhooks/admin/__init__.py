"""The administration pages, a module for each noun; importing them registers them.

A host puts `WebhookInline` on its own page of organizations.
"""

from __future__ import annotations

from tms_webhooks.admin import audit_log, deliveries, events, jobs, webhooks
from tms_webhooks.admin.organizations import WebhookInline

__all__ = ["WebhookInline", "audit_log", "deliveries", "events", "jobs", "webhooks"]
