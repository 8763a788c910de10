"""The administration pages, a module for each noun; importing them registers them."""

from __future__ import annotations

from tms_webhooks.admin import deliveries, events, jobs, webhooks

__all__ = ["deliveries", "events", "jobs", "webhooks"]
