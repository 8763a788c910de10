"""Settings of the tests: the example project's own, on the database that ``TMS_DATABASE`` names."""

import os

from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS, REST_FRAMEWORK, TMS_WEBHOOKS

DEBUG = False
INSTALLED_APPS = [*INSTALLED_APPS, "tests.testapp"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TMS_WEBHOOKS = {
    **TMS_WEBHOOKS,
    # A key of the tests' own: one derived from SECRET_KEY would decrypt whatever the other keys are.
    "ENCRYPTION_KEYS": ["dGVzdHMga2V5OiBub3QgYSBzZWNyZXQsIGJ1dCAzMkI="],
    "QUEUE": "tms_webhooks.queues.SilentQueue",
    # Tests of fairness have hundreds of webhooks of one organization.
    "WEBHOOKS_LIMIT": 10_000,
}
# What one test asks for must not be counted to the next one. Tests send JSON.
REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_THROTTLE_CLASSES": [], "TEST_REQUEST_DEFAULT_FORMAT": "json"}

# The tables of the queue under which the scenarios run; see tests/scenarios/queues.py.
if os.environ.get("TMS_SCENARIO_QUEUE") == "django_tasks":
    INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
