"""The example project on its own: its pages open, its seed is coherent, its verbs do what they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import models
from django.test import Client
from django.urls import reverse

from example_project.databases import database_from_url
from example_project.training import factories
from example_project.training.models import (
    Organization,
    User,
)
from example_project.training.seed import Tenant, World, seed

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MODELS = sorted(apps.get_app_config("training").get_models(), key=lambda model: model.__name__)


@pytest.fixture
def world() -> World:
    return seed(organizations=2, now=NOW)


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return client


def admin_url(model: type[models.Model], page: str, *args: object) -> str:
    return reverse(f"admin:training_{model._meta.model_name}_{page}", args=args)


def learner_names(tenant: Tenant) -> list[str]:
    return [learner.get_full_name() for learner in tenant.people.learners]


# The admin


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_can_be_listed_searched_added_and_changed(
    operator: Client, world: World, model: type[models.Model]
) -> None:
    pages = [admin_url(model, "changelist"), admin_url(model, "changelist") + "?q=a", admin_url(model, "add")]
    pages += [admin_url(model, "change", record.pk) for record in model._default_manager.all()[:1]]
    assert [operator.get(page).status_code for page in pages] == [200] * len(pages)


def test_no_page_shows_a_password_hash(operator: Client) -> None:
    user = factories.UserFactory(password="correct horse")
    page = operator.get(admin_url(User, "change", user.pk)).content.decode()
    assert user.password not in page
    assert user.password.rsplit("$", 1)[1] not in page
    assert 'name="password"' not in page


# The seed


def test_the_seed_makes_a_coherent_world(world: World) -> None:
    assert len(world.organizations) == 2
    assert Organization.objects.filter(parent=None).count() == 2
    for tenant in world.tenants:
        organization, self_paced = tenant.organization, tenant.self_paced
        assert organization.with_descendants() == [organization, tenant.branch]
        assert tenant.people.administrator.administered_organizations() == [organization, tenant.branch]
        assert [learner.organization for learner in tenant.people.learners] == [organization] * 3 + [tenant.branch]
        assert tenant.voucher.course == tenant.classes.training_class.course == tenant.courses[0]
        assert tenant.classes.training_class.start_at == datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
        assert list(self_paced.learning_path.courses.order_by("path_steps__position")) == list(tenant.courses[:2])
        assert self_paced.learning_path.progress(tenant.people.learners[0]) == 50
        assert self_paced.expiring.expires_at == NOW + 5 * DAY
        self_paced.last_of_path.complete(at=NOW)
        assert self_paced.learning_path.progress(tenant.people.learners[0]) == 100
        assert self_paced.learning_path.progress(tenant.people.learners[1]) == 0


def test_seeding_again_makes_the_same_people_anew(world: World) -> None:
    again = seed(organizations=2, now=NOW)
    assert [learner_names(tenant) for tenant in again.tenants] == [learner_names(tenant) for tenant in world.tenants]
    assert not set(again.organizations) & set(world.organizations)
    assert Organization.objects.values("external_id").distinct().count() == 8
    assert again.operator == world.operator


# Settings


def test_the_pages_are_in_the_language_of_the_browser(operator: Client) -> None:
    pages = {
        code: operator.get(reverse("admin:index"), headers={"Accept-Language": code}).content.decode()
        for code in ("es-MX", "de", "en")
    }
    assert ["Entregas" in page for page in pages.values()] == [True, False, False]
    assert ["Deliveries" in page for page in pages.values()] == [False, True, True]


def test_the_migrations_are_up_to_date() -> None:
    call_command("makemigrations", "training", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    ("url", "engine", "name", "host", "port", "user", "password"),
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
def test_a_database_url_is_taken_apart(
    url: str, engine: str, name: str, host: str, port: str, user: str, password: str
) -> None:
    database = database_from_url(url)
    assert database["ENGINE"] == f"django.db.backends.{engine}"
    parts = [database[key] for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD", "CONN_MAX_AGE")]
    assert parts == [name, host, port, user, password, None]


@pytest.mark.parametrize(
    ("language", "title"),
    [("en", "Log in | Training Management System"), ("es", "Iniciar sesión | Training Management System")],
)
def test_the_login_of_customers_has_the_name_of_the_system(client, language, title):
    page = client.get("/login/", headers={"accept-language": language}).content.decode()

    assert f"<title>{title}</title>" in page
    assert "Django" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
