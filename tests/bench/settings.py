"""Settings of the measurements: production's, on the database and the ports of the run."""

from __future__ import annotations

import json
import os

from example_project.settings import *  # noqa: F403
from example_project.settings import Q_CLUSTER, TMS_WEBHOOKS

DEBUG = False
LOGGING = {}
Q_CLUSTER = {**Q_CLUSTER, "log_level": "WARNING"}
TMS_WEBHOOKS = {
    **TMS_WEBHOOKS,
    "STRICT_PAYLOADS": False,
    "WEBHOOKS_LIMIT": 10_000,
    "TRANSPORT": "curl",
    **json.loads(os.environ.get("TMS_BENCH_SETTINGS", "{}")),
}
