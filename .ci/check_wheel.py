"""Use the installed wheel in a project of a few lines: with nothing but what it requires, far from its source."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    SECRET_KEY="only-for-this-check",  # noqa: S106
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_q", "tms_webhooks"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    Q_CLUSTER={"name": "wheel", "orm": "default", "timeout": 90, "retry": 120},
    TMS_WEBHOOKS_ORGANIZATION_MODEL="auth.Group",
    SILENCED_SYSTEM_CHECKS=["tms_webhooks.I053"],  # this project registers no sources
)
django.setup()

import tms_webhooks  # noqa: E402
from tms_webhooks import catalogue  # noqa: E402
from tms_webhooks.models import Webhook  # noqa: E402

package = Path(tms_webhooks.__file__).parent
assert "site-packages" in package.parts, f"imported from {package}, not from the wheel"
assert version("tms-webhooks") == tms_webhooks.__version__
assert (package / "py.typed").exists(), "py.typed is missing"

call_command("check", fail_level="ERROR", verbosity=0)
call_command("migrate", verbosity=0)
assert not Webhook.objects.exists()
print(f"tms-webhooks {tms_webhooks.__version__}: {len(catalogue.all_types())} event types, checks and migrations pass")
