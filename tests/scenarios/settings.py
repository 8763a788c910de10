"""Settings of the processes that a scenario starts: the tests' own, and what the scenario changes."""

import json
import os
import time
from datetime import timedelta

from django.utils import timezone

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, TMS_WEBHOOKS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.scenarios"]
CHANGED = json.loads(os.environ.get("TMS_SCENARIO", "{}"))
TMS_WEBHOOKS = {**TMS_WEBHOOKS, **{name: value for name, value in CHANGED.items() if "." not in name}}
CONSTANTS = {name: value for name, value in CHANGED.items() if "." in name}

# How many seconds the clock of this machine is ahead, as far as the app can see it.
if AHEAD := float(os.environ.get("TMS_SCENARIO_AHEAD", "0")):
    real_now, real_time = timezone.now, time.time
    timezone.now = lambda: real_now() + timedelta(seconds=AHEAD)
    time.time = lambda: real_time() + AHEAD

# What a URL can't say: the values there are strings.
DATABASES["default"] |= json.loads(os.environ.get("TMS_SCENARIO_DATABASE", "{}"))
DATABASES["default"]["OPTIONS"] |= json.loads(os.environ.get("TMS_SCENARIO_OPTIONS", "{}"))

# Celery as the queue. A host imports its app in the __init__.py of its package.
if os.environ.get("TMS_SCENARIO_QUEUE") == "celery":
    from tests.scenarios import celery_app  # noqa: F401

    CELERY_BROKER_URL = os.environ["TMS_SCENARIO_BROKER"]
    CELERY_BROKER_TRANSPORT_OPTIONS = (
        {"global_keyprefix": os.environ["TMS_SCENARIO_PREFIX"]} if CELERY_BROKER_URL.startswith("redis") else {}
    )
    CELERY_TASK_DEFAULT_QUEUE = os.environ["TMS_SCENARIO_PREFIX"] + "celery"
    CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
    CELERY_WORKER_PREFETCH_MULTIPLIER = 1
