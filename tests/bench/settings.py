"""Settings of the measurements: production's, on the database and the ports of the run."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403
from example_project.settings import TMS_WEBHOOKS

DEBUG = False
LOGGING: dict[str, object] = {}
TMS_WEBHOOKS = {**TMS_WEBHOOKS, "STRICT_PAYLOADS": False}
