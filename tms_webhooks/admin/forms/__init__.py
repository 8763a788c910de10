"""The form of a webhook: its own fields, its header lines, and the events that it asks for."""

from __future__ import annotations

from tms_webhooks.admin.forms.webhook import WebhookForm

__all__ = ["WebhookForm"]
