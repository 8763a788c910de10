"""The form of a webhook: its fields, its header lines, and its events."""

from __future__ import annotations

from tms_webhooks.admin.forms.webhook import WebhookForm

__all__ = ["WebhookForm"]
