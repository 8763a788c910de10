"""The settings of the other host: what it trains stands in a database of its own, and its webhooks with it.

Its apps have no migrations: a test database gets their tables from the models.
"""

import os

from example_project.databases import database_from_url

SECRET_KEY = "only for tests"
USE_TZ = True
ROOT_URLCONF = "tests.hosts.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SHAPES = ["translated", "inherited", "softdeleted", "versioned", "shared", "tagged", "roles", "assigned", "people"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_q",
    "rest_framework",
    "reversion",
    "simple_history",
    "tests.hosts",
    *(f"tests.hosts.{name}" for name in SHAPES),
    "tms_webhooks",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "tms_webhooks.actors.ActorMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

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
TMS_WEBHOOKS = {
    "QUEUE": "tms_webhooks.queues.SilentQueue",
    "ORGANIZATION_FIELDS": {"external_id": None},
}
