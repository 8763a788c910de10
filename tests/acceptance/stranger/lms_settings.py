"""The settings of the second stranger's project."""

from __future__ import annotations

from settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_q", "tms_webhooks", "lms"]
AUTH_USER_MODEL = "auth.User"
TMS_WEBHOOKS_ORGANIZATION_MODEL = "lms.Client"
