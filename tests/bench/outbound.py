"""Events and endpoints of django-outbound-webhooks, run by `django_package` in a virtual environment that has that package.

Run as ``python -P outbound.py WAY …``: ``settle`` makes the tables and an endpoint for each port, and ``relay`` delivers. ``steadily``
fires events, waits until the first endpoint has had them, and prints as JSON when each was committed. The database is TMS_DATABASE.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from dataclasses import make_dataclass
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import transaction

EVENT = "bench.Happened"
PATIENCE = 900.0
PAUSE = 0.1
BODY = "x" * 1_700
"""About as much as the events of our side."""

url = urlsplit(os.environ["TMS_DATABASE"])
login = {"USER": url.username, "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port or ""}
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], **login}},
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("contenttypes", "auth")]
    + ["django_domain_events", "django_outbound_webhooks"],
    USE_TZ=True,
    # All else is the package's default. The receivers are on the loopback.
    DJANGO_OUTBOUND_WEBHOOKS={"ALLOW_PRIVATE_ADDRESSES": True},
)
django.setup()

# Django's apps are ready from here on.
from django_domain_events import event, fire  # noqa: E402
from django_domain_events.models import DeliveryRecord  # noqa: E402
from django_outbound_webhooks import register_endpoint  # noqa: E402
from django_outbound_webhooks.models import Endpoint  # noqa: E402

Happened = event(name=EVENT)(make_dataclass("Happened", [("body", str)], frozen=True, slots=True))


def settle(*ports):
    """Make the tables and the endpoints."""
    call_command("migrate", verbosity=0)
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    for port in ports:
        register_endpoint(name=port, url=f"http://127.0.0.1:{port}/hook", secret=secret, event_names=[EVENT])


def relay():
    """Deliver until the process ends."""
    call_command("deliver_events")


def steadily(count, rate):
    """Fire so many events, so many a second."""
    stamps = []
    start = time.monotonic()
    for number in range(int(count)):
        time.sleep(max(0.0, start + number / float(rate) - time.monotonic()))
        with transaction.atomic():
            fire(Happened(BODY))
        stamps.append(time.monotonic())
    target = f'{{"endpoint":{Endpoint.objects.earliest("pk").pk},'
    deliveries = DeliveryRecord.objects.filter(target__startswith=target).order_by("event_id")
    while deliveries.exclude(status="succeeded").exists():
        assert time.monotonic() < start + PATIENCE, "The healthy one gets nothing."
        time.sleep(PAUSE)
    ids = [json.loads(target)["message"] for target in deliveries.values_list("target", flat=True)]
    print(json.dumps(dict(zip(ids, stamps, strict=True))))


if __name__ == "__main__":
    {way.__name__: way for way in (settle, relay, steadily)}[sys.argv[1]](*sys.argv[2:])
