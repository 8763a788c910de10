"""The bell. The tables are the truth: a queue only makes sure that somebody looks at them soon."""

from __future__ import annotations

from tms_webhooks.queues.base import Queue, get_queue

__all__ = ["Queue", "get_queue"]
