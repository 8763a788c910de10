"""Settings of the image that the Dockerfile makes. The environment has what differs from host to host, and each secret."""

from __future__ import annotations

import os

import django

from example_project.databases import database_from_url
from example_project.settings import *  # noqa: F403
from example_project.settings import MIDDLEWARE
from example_project.settings import TMS_WEBHOOKS as PROJECT_WEBHOOKS

DEBUG = False
SECRET_KEY = os.environ["TMS_SECRET_KEY"]
ALLOWED_HOSTS = os.environ["TMS_ALLOWED_HOSTS"].split()
DATABASES = {"default": {**database_from_url(os.environ["TMS_DATABASE"]), "CONN_HEALTH_CHECKS": True}}

MIDDLEWARE = [MIDDLEWARE[0], "whitenoise.middleware.WhiteNoiseMiddleware", *MIDDLEWARE[1:]]
STATIC_ROOT = "/srv/tms/static"

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
# HSTS is for the proxy that ends TLS.
SILENCED_SYSTEM_CHECKS = ["security.W004"]
# The probes come from this host, without TLS.
SECURE_REDIRECT_EXEMPT = ["^webhooks/health/"]

EMAIL_HOST, EMAIL_TIMEOUT = os.environ.get("TMS_EMAIL_HOST", "localhost"), 5
SMTP = "django.core.mail.backends.smtp.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": SMTP, "OPTIONS": {"host": EMAIL_HOST, "timeout": EMAIL_TIMEOUT}}}
    del EMAIL_HOST, EMAIL_TIMEOUT
else:
    EMAIL_BACKEND = SMTP
DEFAULT_FROM_EMAIL = f"webhooks@{ALLOWED_HOSTS[0]}"

# Without the receivers on the own machine, and with `webhooks_drain` instead of a queue.
TMS_WEBHOOKS = {
    "ORGANIZATION_PARENT": PROJECT_WEBHOOKS["ORGANIZATION_PARENT"],
    "ACCESS_POLICY": PROJECT_WEBHOOKS["ACCESS_POLICY"],
    "ENCRYPTION_KEYS": os.environ["TMS_ENCRYPTION_KEYS"].split(),
    "QUEUE": "tms_webhooks.queues.SilentQueue",
}
