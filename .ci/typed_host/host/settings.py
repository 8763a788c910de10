"""The settings of the host."""

from __future__ import annotations

SECRET_KEY = "only-for-this-check"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "tms_webhooks", "host.apps.HostConfig"]
MIDDLEWARE = ["tms_webhooks.actors.ActorMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
AUTH_USER_MODEL = "host.Person"
TMS_WEBHOOKS_ORGANIZATION_MODEL = "host.Organization"
TMS_WEBHOOKS = {
    "ACCESS_POLICY": "host.access.HostPolicy",
    "ORGANIZATION_FIELDS": {"external_id": None},
    "QUEUE": "host.queues.HostQueue",
}
