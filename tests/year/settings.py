"""Settings of the simulation's processes: the example's own, on the simulated clock."""

import json
import os

from tests.year import clock

clock.install()

from example_project.settings import *  # noqa: E402, F403
from example_project.settings import DATABASES, INSTALLED_APPS, TMS_WEBHOOKS  # noqa: E402

GIVEN = json.loads(os.environ["TMS_YEAR"])

DEBUG = False
# That app sets the constants.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.scenarios"]
CONSTANTS = {
    # All processes share one clock already.
    "db.clock.CLOCKS": {},
    # The clock moves by hours or days in a second: leases outlast that, and a drain shows often that it lives.
    "worker.leases.LEASE": 30 * 86_400.0,
    "worker.leases.RENEWED_EVERY": 0.2,
    # The periodic jobs come as often as the clock moves.
    "management.timer.TICK": 0.05,
}
DATABASES["default"] |= {"HOST": "127.0.0.1,127.0.0.1", "PORT": GIVEN["ports"]}
DATABASES["default"]["OPTIONS"] = {"target_session_attrs": "read-write"}
TMS_WEBHOOKS = {
    **TMS_WEBHOOKS,
    "QUEUE": "tms_webhooks.queues.SilentQueue",
    "ENCRYPTION_KEYS": GIVEN["keys"],
    "ALLOWED_PORTS": [GIVEN["port"]],
    "UNCHECKED_CIDRS": ["127.0.1.0/24"],
}
REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_THROTTLE_CLASSES": []}  # noqa: F405
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"tms_webhooks": {"handlers": ["console"], "level": "WARNING"}},
}
