"""The customers' site: the host's branding and login, the policy as the only authority, and embedding."""

import importlib
import re
import sys

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import include, path

from tests.integration.admin import pages
from tests.integration.admin.pages import administrator_of, named, shown_at, url
from tests.integration.api import people
from tests.integration.api.conftest import acme, alice, names, policy
from tests.integration.api.test_scope import world
from tms_webhooks.admin import CustomerSite
from tms_webhooks.models import Delivery, Event, Webhook

__all__ = ["acme", "alice", "names", "policy", "world"]


@pytest.fixture
def browser(monkeypatch, acme):
    """An administrator of Acme who is no staff, at the customers' site; the client has the user."""
    monkeypatch.setattr(pages, "site", pages.CUSTOMERS)
    client = Client()
    client.user = administrator_of(acme, username="casey")
    client.force_login(client.user)
    return client


# The host's branding and login


def test_the_pages_have_no_link_to_a_password_page_and_show_the_user(browser, world):
    page = browser.get(named("index")).content.decode()

    assert "password" not in page
    assert "View site" not in page
    entries = re.findall(r'class="model-(\w+)', page)
    assert entries[: len(entries) // 2][:2] == ["webhook", "delivery"]
    assert str(browser.user) in page


class Branded(CustomerSite):
    site_header = "Acme Academy"
    back_url = "/account/"
    back_label = "Back to Acme"


branded = Branded("branded")
urlpatterns = [path("hooks/", branded.urls), path("", include("example_project.urls"))]


@pytest.fixture
def branded_page(settings, browser, monkeypatch):
    """Return the text of the index of a branded site."""
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(pages, "site", "branded")
    branded.__dict__.pop("_engine", None)
    yield lambda: browser.get(named("index")).content.decode()
    branded.__dict__.pop("_engine", None)


def test_a_directory_of_the_host_replaces_templates_of_this_site_only(branded_page, monkeypatch, tmp_path, operator):
    (tmp_path / "admin").mkdir()
    base = '{% extends "admin/base_site.html" %}{% block footer %}<p>Made by Acme</p>{% endblock %}'
    (tmp_path / "admin" / "base_site.html").write_text(base)
    monkeypatch.setattr(Branded, "templates", tmp_path)

    page = branded_page()

    assert "Made by Acme" in page
    assert "Back to Acme" in page
    assert "Made by Acme" not in operator.get("/admin/").content.decode()


def test_the_login_is_the_one_of_the_project(client, settings):
    settings.LOGIN_URL = "/single-sign-on/"

    response = client.get("/customers/tms_webhooks/webhook/?q=a")

    assert response["Location"] == "/single-sign-on/?next=/customers/tms_webhooks/webhook/%3Fq%3Da"


# The policy alone


def test_a_user_who_may_only_view_is_offered_nothing_else(browser, world):
    people.denied[browser.user.pk] = {"manage", "replay", "view_payload", "reveal_secret"}
    Webhook.objects.update(url="https://receiver.example.com/hook?sig=t0k3n")
    key, delivery = world.webhook.public_id, world.delivery

    index = browser.get(named("index")).content.decode()
    overview = shown_at(browser, url(Webhook, "overview", key))
    shown = [url(Webhook, "change", key), url(Delivery, "change", delivery.public_id), url(Webhook, "secret", key)]
    listed = browser.get(url(Webhook, "changelist"))

    assert url(Webhook, "add") not in index
    assert not [page for page in shown if "t0k3n" in browser.get(page).content.decode()]
    assert "Payload" not in shown_at(browser, url(Event, "change", delivery.event.public_id))
    assert browser.post(url(Webhook, "secret", key)).status_code == 403
    assert "Why was an event not sent?" not in overview
    assert not [text for text in ("Send a test", "Disable", "Recover") if text in overview]
    assert "Delivery log" in overview
    assert "Audit log" in overview
    assert list(listed.context["cl"].model_admin.get_actions(listed.wsgi_request)) == []


# Embedding


def test_the_pages_of_the_site_may_be_embedded_by_the_named_origins_only(browser, world, settings_of_app, operator):
    origins = ["https://portal.example.com", "https://*.acme.example"]
    settings_of_app(FRAME_ANCESTORS=origins)

    response = browser.get(named("index"))

    assert response["Content-Security-Policy"] == "frame-ancestors https://portal.example.com https://*.acme.example"
    assert "X-Frame-Options" not in response
    for address in ("/admin/", "/login/"):
        assert operator.get(address)["X-Frame-Options"] == "DENY"


# The setup


def test_a_middleware_that_requires_a_login_changes_nothing(browser, settings):
    middleware = pytest.importorskip("django.contrib.auth.middleware").LoginRequiredMiddleware
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{middleware.__module__}.{middleware.__name__}"]

    assert browser.get(named("index")).status_code == 200
    assert Client().get(named("enter")).status_code == 403
    assert Client().get(named("index"))["Location"].startswith("/login/")


def test_a_project_without_djangos_admin_gets_the_remedy(monkeypatch):
    monkeypatch.delitem(sys.modules, "tms_webhooks.admin")
    monkeypatch.setattr(apps, "is_installed", lambda name: False)

    with pytest.raises(ImproperlyConfigured, match="Add it to INSTALLED_APPS; its own site needs no URL."):
        importlib.import_module("tms_webhooks.admin")
