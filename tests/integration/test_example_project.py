"""The example project on its own: its pages open, its seed is coherent, its verbs do what they say."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.management import call_command
from django.urls import reverse

from example_project.databases import database_from_url
from example_project.training import factories
from example_project.training.models import (
    User,
)
from example_project.training.seed import seed
from tests.conftest import NOW

DAY = timedelta(days=1)
MODELS = sorted(apps.get_app_config("training").get_models(), key=lambda model: model.__name__)


@pytest.fixture
def world():
    return seed(organizations=2, now=NOW)


@pytest.fixture
def operator(client):
    client.force_login(factories.UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return client


def admin_url(model, page, *args):
    return reverse(f"admin:training_{model._meta.model_name}_{page}", args=args)


# The admin


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_can_be_listed_searched_added_and_changed(operator, world, model):
    pages = [admin_url(model, "changelist"), admin_url(model, "changelist") + "?q=a", admin_url(model, "add")]
    pages += [admin_url(model, "change", record.pk) for record in model._default_manager.all()[:1]]
    assert [operator.get(page).status_code for page in pages] == [200] * len(pages)


def test_no_page_shows_a_password_hash(operator):
    user = factories.UserFactory(password="correct horse")
    page = operator.get(admin_url(User, "change", user.pk)).content.decode()
    assert user.password not in page
    assert user.password.rsplit("$", 1)[1] not in page
    assert 'name="password"' not in page


# Settings


def test_the_pages_are_in_the_language_of_the_browser(operator):
    pages = {
        code: operator.get(reverse("admin:index"), headers={"Accept-Language": code}).content.decode()
        for code in ("es-MX", "de", "en")
    }
    assert ["Entregas" in page for page in pages.values()] == [True, False, False]
    assert ["Deliveries" in page for page in pages.values()] == [False, True, True]


def test_the_migrations_are_up_to_date():
    call_command("makemigrations", "training", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    "url, engine, name, host, port, user, password",
    [
        ("sqlite:///db.sqlite3", "sqlite3", "db.sqlite3", "", "", "", ""),
        ("sqlite:////srv/tms%20data/db.sqlite3", "sqlite3", "/srv/tms data/db.sqlite3", "", "", "", ""),
        (
            "postgres://tms:s%40fe@db.example:5433/training",
            "postgresql",
            "training",
            "db.example",
            "5433",
            "tms",
            "s@fe",
        ),
        ("mysql://root@127.0.0.1/training", "mysql", "training", "127.0.0.1", "", "root", ""),
    ],
)
def test_a_database_url_is_taken_apart(url, engine, name, host, port, user, password):
    database = database_from_url(url)
    assert database["ENGINE"] == f"django.db.backends.{engine}"
    parts = [database[key] for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD", "CONN_MAX_AGE")]
    assert parts == [name, host, port, user, password, None]


@pytest.mark.parametrize(
    "language, title",
    [("en", "Log in | Training Management System"), ("es", "Iniciar sesión | Training Management System")],
)
def test_the_login_of_customers_has_the_name_of_the_system(client, language, title):
    page = client.get("/login/", headers={"accept-language": language}).content.decode()

    assert f"<title>{title}</title>" in page
    assert "Django" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
