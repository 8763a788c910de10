"""The settings of the stranger's project, without those that `webhooks_scaffold` asks for."""

from __future__ import annotations

from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_q", "tms_webhooks", "academy"]
MIDDLEWARE = ["tms_webhooks.actors.ActorMiddleware"]
AUTH_USER_MODEL = "academy.Person"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parent / "db.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
Q_CLUSTER = {"name": "tms", "orm": "default", "timeout": 90, "retry": 120, "max_attempts": 1}
TMS_WEBHOOKS_ORGANIZATION_MODEL = "academy.Organization"
TMS_WEBHOOKS = {}
