"""Warnings of querysets of registered models whose bulk operations are not seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import models

from example_project.training.models import TrainingClass
from tests.testapp.models import OnsiteWorkshop, PastWorkshop, Workshop
from tests.unit.checks.conftest import only
from tms_webhooks.checks.managers import check_managers
from tms_webhooks.sources import ClassSource, Source, WebhookManager, WebhookQuerySet

Declare = Callable[..., Source]


class Deaf(models.Manager):
    """A manager of plain querysets."""


def add(monkeypatch: pytest.MonkeyPatch, model: type[models.Model], manager: models.Manager, name: str) -> None:
    """Give a model another manager for the length of a test."""
    meta = model._meta
    monkeypatch.setattr(meta, "local_managers", [*meta.local_managers])
    monkeypatch.setattr(model, name, None, raising=False)
    manager.contribute_to_class(model, name)
    for other in (model, *model.__subclasses__()):
        other._meta._expire_cache()


@pytest.fixture(autouse=True)
def _fresh_caches():
    yield
    for model in (Workshop, PastWorkshop, OnsiteWorkshop, TrainingClass):
        model._meta._expire_cache()


def test_a_model_whose_querysets_emit_events_is_left_alone(declare: Declare) -> None:
    declare(ClassSource, TrainingClass)
    assert check_managers() == []


def test_a_manager_of_plain_querysets_is_reported_with_its_remedy(declare: Declare, monkeypatch) -> None:
    add(monkeypatch, TrainingClass, Deaf(), "plain")
    declare(ClassSource, TrainingClass)

    problem = only(check_managers(), "W054")

    assert problem.obj is TrainingClass
    assert problem.msg.startswith("training.TrainingClass.plain makes querysets")
    assert "objects = WebhookManager()" in str(problem.hint)


@pytest.mark.parametrize("manager", [WebhookManager(), models.Manager.from_queryset(WebhookQuerySet)()])
def test_any_way_to_have_such_querysets_will_do(declare: Declare, monkeypatch, manager) -> None:
    add(monkeypatch, TrainingClass, manager, "other")
    declare(ClassSource, TrainingClass)
    assert check_managers() == []


def test_a_manager_that_models_inherit_is_reported_once(declare: Declare, monkeypatch) -> None:
    add(monkeypatch, Workshop, Deaf(), "plain")
    declare(ClassSource, Workshop)
    assert only(check_managers(), "W054").obj is Workshop


def test_changes_by_django_itself_need_a_base_manager_that_emits_events(declare: Declare, monkeypatch) -> None:
    monkeypatch.setattr(TrainingClass._meta, "base_manager_name", None)
    monkeypatch.setitem(vars(TrainingClass._meta), "base_manager", Deaf())
    declare(ClassSource, TrainingClass)

    problem = only(check_managers(), "W055")

    assert problem.obj is TrainingClass
    changed = (
        "course, organization, company, primary_instructor, primary_classroom, requested_by of training.TrainingClass"
    )
    assert changed in problem.msg
    assert 'base_manager_name = "objects"' in str(problem.hint)


def test_a_model_that_is_no_source_may_have_any_manager(declare: Declare, monkeypatch) -> None:
    add(monkeypatch, Workshop, Deaf(), "plain")
    declare(ClassSource, TrainingClass)
    assert check_managers() == []


@pytest.mark.parametrize("name", ["DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"])
def test_what_the_database_does_by_itself_is_pointed_out(declare: Declare, monkeypatch, name: str) -> None:
    by_database = getattr(models, name, object())
    monkeypatch.setattr(models, name, by_database, raising=False)
    monkeypatch.setattr(TrainingClass._meta.get_field("primary_classroom").remote_field, "on_delete", by_database)
    declare(ClassSource, TrainingClass)

    problem = only(check_managers(), "W056")

    assert problem.obj is TrainingClass
    assert "rows of training.TrainingClass when the target of primary_classroom is deleted" in problem.msg
    assert "models.CASCADE" in str(problem.hint)
    assert "reconcile = True" in str(problem.hint)
