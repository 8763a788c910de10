"""Use the installed wheel in a small project, far from its source: with no extra, or with the one that is named.

    python check_wheel.py [EXTRA] [DATABASE_URL or REDIS_URL]

A class is saved, and its event reaches a receiver. Then the feature of the extra is used. The packages of other extras
must be absent.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import files, metadata, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import CommandError, call_command

PACKAGES = {
    "celery": "celery",
    "curl": "pycurl",
    "mcp": "mcp",
    "mysql": "MySQLdb",
    "openapi": "drf_spectacular",
    "otel": "opentelemetry",
    "postgres": "psycopg",
    "prometheus": "prometheus_client",
    "redis": "redis",
    "yaml": "yaml",
}
NEEDED = {".css", ".html", ".js", ".mo", ".py", ".txt"}
"""The kinds of files that the app reads when it runs."""
ENGINES = {"postgres": "postgresql", "mysql": "mysql"}

extra, url = (*sys.argv[1:], "", "")[:2]


def configure() -> None:
    """Configure Django with what the extra is for."""
    database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    cluster: dict[str, Any] = {"name": "wheel", "timeout": 90, "retry": 120, "orm": "default"}
    if extra in ENGINES:
        parts = urlsplit(url)
        database = {
            "ENGINE": f"django.db.backends.{ENGINES[extra]}",
            "NAME": parts.path[1:],
            "USER": parts.username or "",
            "PASSWORD": parts.password or "",
            "HOST": parts.hostname,
            "PORT": parts.port or "",
            "CONN_MAX_AGE": None,
        }
    if extra == "redis":
        del cluster["orm"]
        cluster["redis"] = url
    webhook_settings: dict[str, Any] = {
        "ORGANIZATION_FIELDS": {"external_id": None},
        "TELEMETRY": [extra] if extra in {"prometheus", "otel"} else [],
    }
    if extra == "celery":
        from celery import Celery

        Celery("wheel", broker="memory://").set_default()
        webhook_settings["QUEUE"] = "tms_webhooks.queues.celery.CeleryQueue"
    openapi = ["drf_spectacular", "drf_spectacular_sidecar"] if extra == "openapi" else []
    settings.configure(
        SECRET_KEY="only-for-this-check",  # noqa: S106
        USE_TZ=True,
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF="academy.urls",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.staticfiles",
            "django_q", "rest_framework", *openapi, "tms_webhooks", "academy",
        ],
        STATIC_URL="static/",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={"default": database},
        Q_CLUSTER=cluster,
        TMS_WEBHOOKS_ORGANIZATION_MODEL="academy.Customer",
        TMS_WEBHOOKS=webhook_settings,
    )  # fmt: skip
    django.setup()


def check_package() -> None:
    """Check that the wheel is whole, and that no package of another extra is installed."""
    import tms_webhooks

    package = Path(tms_webhooks.__file__).parent
    assert "site-packages" in package.parts, f"imported from {package}, not from the wheel"
    assert version("tms-webhooks") == tms_webhooks.__version__
    assert _unneeded_files() == {"tms_webhooks/py.typed"}, _unneeded_files()
    installed = {name for name, module in PACKAGES.items() if find_spec(module)} - _dependencies()
    assert installed == ({extra} if extra else set()), f"installed: {installed}"


def check_index_page() -> None:
    """Check that each link of the page in a package index is absolute, and names a file of the repository."""
    page = metadata("tms-webhooks").json
    (address,) = (one.partition(", ")[2] for one in page["project_url"] if one.startswith("Repository, "))
    checkout = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)\s]+)\)", page["description"])
    links += [one.partition(", ")[2] for one in page["project_url"] if not one.startswith(("Repository", "Issues"))]
    for link in links:
        assert link.startswith("https://"), link
        path = re.sub(rf"^{address}/(blob|raw)/v[^/]+/", "", link)
        assert path == link or (checkout / path.partition("#")[0]).exists(), link
    assert any(link.startswith(address) for link in links), links


def _unneeded_files() -> set[str]:
    """Return the files of the wheel that no code reads. ``py.typed`` is for the type checkers of hosts."""
    installed = [one for one in files("tms-webhooks") or () if not one.parts[0].endswith(".dist-info")]
    # pip compiles the modules.
    return {str(one) for one in installed if one.parts[0] != "tms_webhooks" or one.suffix not in {*NEEDED, ".pyc"}}


def _dependencies() -> set[str]:
    """Return the extras whose package another extra requires, too."""
    return {"openapi": {"yaml"}, "mcp": {"otel"}}.get(extra, set())


def deliver() -> list[Any]:
    """Save a class, and return the requests that a receiver got of it, delivered as the transport is configured."""
    from academy.models import Customer, Session, Topic
    from tms_webhooks.testing import WebhookReceiver, assert_received

    with WebhookReceiver() as receiver:
        customer = Customer.objects.create(name="Acme")
        receiver.subscribe(customer, "class.*")
        Session.objects.create(name="Azure", customer=customer, course=Topic.objects.create(name="Azure"))
        call_command("webhooks_drain", "--until-idle", verbosity=0)
        assert_received(receiver, "class.scheduled", data={"name": "Azure"})
    return receiver.requests


def check_api() -> None:
    """Read the list of webhooks from the API."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    answer = client.get("/api/webhooks/")
    assert [one["name"] for one in answer.json()["results"]] == ["Test receiver"], answer.content


def without_extra(_requests: list[Any]) -> None:
    """The commands that need PyYAML say so."""
    try:
        call_command("webhooks_export")
    except CommandError as error:
        assert "pip install 'tms-webhooks[yaml]'" in str(error), error
    else:
        raise AssertionError("webhooks_export works without PyYAML")


def with_yaml(_requests: list[Any]) -> None:
    """The webhooks are exported, and imported again without a change."""
    from tms_webhooks.models import Webhook

    # The receiver's own URL was allowed for as long as it listened.
    Webhook.objects.update(url="https://receiver.example/")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "webhooks.yaml"
        call_command("webhooks_export", "--output", str(file), verbosity=0)
        assert "Test receiver" in file.read_text(encoding="utf-8")
        call_command("webhooks_import", str(file), "--keep-secrets", verbosity=0)


def with_celery(_requests: list[Any]) -> None:
    """The save sent a task that runs a drain."""
    from celery import current_app

    with current_app.connection_for_read() as connection:
        arguments, _named, _options = connection.SimpleQueue("celery").get(timeout=5).payload
    assert arguments[0] == "tms_webhooks.tasks.drain", arguments


def with_curl(_requests: list[Any]) -> None:
    """The requests were sent by libcurl."""
    from tms_webhooks.net.transports import new_transport

    transport = new_transport()
    assert type(transport).__module__ == "tms_webhooks.net.transports.curl", type(transport)
    transport.close()


def with_prometheus(_requests: list[Any]) -> None:
    """The attempt was counted."""
    from prometheus_client import generate_latest

    assert b'tms_webhooks_attempts_total{outcome="delivered"} 1.0' in generate_latest()


def with_otel(requests: list[Any]) -> None:
    """The API alone makes spans without a context: no header is sent, and nothing fails."""
    from tms_webhooks.telemetry.otel import HEADER
    from tms_webhooks.worker.send import observers

    assert len(observers) == 1, observers
    assert HEADER not in requests[0].headers


def with_openapi(_requests: list[Any]) -> None:
    """The document of the API is served, with the webhooks, the page that shows it and the schema of all events."""
    from django.test import Client

    document = Client().get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "class.scheduled" in document["webhooks"], list(document["webhooks"])
    for name in ("docs/", "events.schema.json"):
        assert Client().get(f"/api/{name}").status_code == 200, name


def with_mcp(_requests: list[Any]) -> None:
    """The endpoint of MCP lists its tools."""
    from django.contrib.auth.models import User
    from django.test import Client, override_settings

    client = Client()
    client.force_login(User.objects.get(username="admin"))
    with override_settings(ROOT_URLCONF="tms_webhooks.mcp.urls"):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = client.post("/", message, content_type="application/json").json()
    assert "find_deliveries" in str(answer["result"]), answer


def with_database(_requests: list[Any]) -> None:
    """The deliveries are in the database of the extra."""
    from django.db import connection

    assert connection.vendor == ENGINES[extra]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tms_webhooks_delivery")
        assert cursor.fetchone()[0] >= 1


def with_redis(_requests: list[Any]) -> None:
    """The save enqueued a drain in Redis, and a worker can read it."""
    from django_q.brokers import get_broker
    from django_q.signing import SignedPackage

    broker = get_broker()
    assert "redis" in str(broker.info()).lower(), broker.info()
    tasks = [SignedPackage.loads(package)["func"] for _key, package in broker.dequeue()]
    assert tasks == ["tms_webhooks.tasks.drain"], tasks
    broker.delete_queue()


FEATURES: dict[str, Callable[[list[Any]], None]] = {
    "": without_extra, "celery": with_celery,
    "curl": with_curl, "mcp": with_mcp, "mysql": with_database, "openapi": with_openapi, "otel": with_otel,
    "postgres": with_database, "prometheus": with_prometheus, "redis": with_redis, "yaml": with_yaml,
}  # fmt: skip


def main() -> None:
    """Run all checks."""
    configure()
    check_package()
    check_index_page()
    call_command("check", fail_level="WARNING", verbosity=0)
    from django.test.utils import setup_databases, teardown_databases

    databases = setup_databases(verbosity=0, interactive=False)
    try:
        requests = deliver()
        check_api()
        FEATURES[extra](requests)
    finally:
        teardown_databases(databases, verbosity=0)
    print(f"tms-webhooks {version('tms-webhooks')} {f'with {extra}' if extra else 'without extras'}: works")


if __name__ == "__main__":
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    main()
