"""The settings of the other host: what it trains stands in a database of its own, and its webhooks with it."""

from __future__ import annotations

import os

from example_project.databases import database_from_url

SECRET_KEY = "only for tests"
USE_TZ = True
ROOT_URLCONF = "tests.hosts.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_q",
    "rest_framework",
    "tests.hosts",
    "tms_webhooks",
]
MIDDLEWARE = ["tms_webhooks.actors.ActorMiddleware"]

_training = database_from_url(os.environ.get("TMS_DATABASE", "sqlite:///:memory:"))
DATABASES = {
    "default": database_from_url("sqlite:///:memory:"),
    # Beside the database of the tests that started these.
    "training": {**_training, "TEST": {"NAME": f"hosts_{_training['NAME'].strip(':')}"}},
}
if "sqlite" in _training["ENGINE"]:
    del DATABASES["training"]["TEST"]
DATABASE_ROUTERS = ["tests.hosts.routers.Router"]

Q_CLUSTER = {"name": "hosts", "orm": "default", "timeout": 60, "retry": 120, "max_attempts": 1}

AUTH_USER_MODEL = "hosts.Member"
TMS_WEBHOOKS_ORGANIZATION_MODEL = "hosts.Tenant"
TMS_WEBHOOKS = {"QUEUE": "tms_webhooks.queues.silent.SilentQueue"}
