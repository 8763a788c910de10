"""Settings of the example project: ready for one machine; environment variables change them for others."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import django

from example_project.databases import database_from_url

BASE_DIR = Path(__file__).resolve().parent.parent

# Django's deploy check warns of a key that starts like this one.
SECRET_KEY = os.environ.get("TMS_SECRET_KEY", "django-insecure-for-development-only-never-in-production")
DEBUG = os.environ.get("TMS_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tms_webhooks",
    "example_project.training",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tms_webhooks.actors.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": database_from_url(os.environ.get("TMS_DATABASE", f"sqlite:///{quote(str(BASE_DIR / 'db.sqlite3'))}")),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "training.User"
AUTHENTICATION_BACKENDS = ["example_project.training.backends.TrainingBackend"]
LOGIN_URL = LOGOUT_REDIRECT_URL = "login"
LOGIN_REDIRECT_URL = "tms_webhooks_customers:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# The language is that of the browser. The project's own texts are in English; those of Django and of the app have both.
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("es", "Español")]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"

# The API: systems of a customer come with their organization's key, people with a token or the session of their browser.

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "example_project.training.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1200/min"},
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Training Management System",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tms_webhooks.api.schema.hooks.add_webhooks",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeliveryStatus": "tms_webhooks.choices.DeliveryStatus",
        "JobStatus": "tms_webhooks.choices.JobStatus",
    },
}

# Webhooks

TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organization"

# The demo's receiver listens on this machine, without TLS and on a port of its own: three things that the app refuses
# by default, because in production they lead into the internal network. Leave all three out there.
TMS_WEBHOOKS = {
    "ORGANIZATION_PARENT": "parent",
    "ACCESS_POLICY": "example_project.training.access.TrainingPolicy",
    "ALLOWED_SCHEMES": ["https", "http"],
    "UNCHECKED_HOSTS": ["127.0.0.1", "localhost"],
    "ALLOWED_PORTS": [443, *(int(port) for port in os.environ.get("TMS_DEMO_PORTS", "").split(",") if port.strip())],
}

# The queue only wakes the workers. All data is in the app's own tables, so failed tasks are not repeated and finished
# tasks are not kept.
Q_CLUSTER = {
    "name": "tms",
    "label": "Queue",
    "orm": "default",
    "workers": 2,
    "poll": 0.05,
    "bulk": 10,
    "queue_limit": 20,
    "recycle": 10_000,
    "timeout": 60,
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
}

# Mails are printed, and not sent.
CONSOLE = "django.core.mail.backends.console.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": CONSOLE}}
else:
    EMAIL_BACKEND = CONSOLE

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"tms_webhooks": {"handlers": ["console"], "level": "INFO"}},
}
