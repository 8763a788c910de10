"""Settings of the processes that a scenario starts: the tests' own, and what the scenario changes."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, TMS_WEBHOOKS

TMS_WEBHOOKS = {**TMS_WEBHOOKS, **json.loads(os.environ.get("TMS_SCENARIO", "{}"))}

# What a URL can't say: the values there are strings.
DATABASES["default"] |= json.loads(os.environ.get("TMS_SCENARIO_DATABASE", "{}"))
DATABASES["default"]["OPTIONS"] |= json.loads(os.environ.get("TMS_SCENARIO_OPTIONS", "{}"))
