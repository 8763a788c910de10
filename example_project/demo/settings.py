"""Settings of the demo: the example project's own, with the waiting times of a crash shortened from half a minute."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403
from example_project.settings import LOGGING as PROJECT_LOGGING
from example_project.settings import TMS_WEBHOOKS as PROJECT_WEBHOOKS

DEBUG = False

TMS_WEBHOOKS = {
    **PROJECT_WEBHOOKS,
    # Nobody wants to watch a lease of 30 s run out.
    "LEASE": 3.0,
    "HEARTBEAT": 1.0,
    "DRAIN_BUDGET": 4.0,
    # A payload that breaks its schema must not pass unseen here.
    "STRICT_PAYLOADS": True,
}

LOGGING = {
    **PROJECT_LOGGING,
    "formatters": {"plain": {"format": "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"}},
}
