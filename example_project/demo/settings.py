"""Settings of the demo: those of the example project, with shorter waits after a crash."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403
from example_project.settings import LOGGING as PROJECT_LOGGING
from example_project.settings import TMS_WEBHOOKS as PROJECT_WEBHOOKS

DEBUG = False

TMS_WEBHOOKS = {
    **PROJECT_WEBHOOKS,
    # Short, so that the demo does not wait 30 s for the leases of a killed worker.
    "DRAIN_BUDGET_SECONDS": 4.0,
    # A webhook is disabled after four failures in a row, without the five days of production.
    "DISABLE_AFTER_FAILURES": 4,
    "DISABLE_AFTER_DAYS": 0,
    # A payload that breaks its schema must fail the demo.
    "STRICT_PAYLOADS": True,
}

LOGGING = {
    **PROJECT_LOGGING,
    "formatters": {"plain": {"format": "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"}},
}
