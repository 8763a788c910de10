"""Task queues, which run the drain and the periodic jobs in worker processes.

The database holds all work. A queue only makes a worker look for it soon, so a lost task delays work and loses none.
"""

from __future__ import annotations

from tms_webhooks.queues.base import PeriodicJob, Queue, enqueue, get_queue

__all__ = ["PeriodicJob", "Queue", "enqueue", "get_queue"]
