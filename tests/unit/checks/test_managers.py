"""Warnings of changes of registered models that may not be captured."""

import pytest
from django.contrib.auth.models import UserManager
from django.db import models
from django.db.models.base import ModelBase

from example_project.training.models import TrainingClass
from tests.testapp.models import OnsiteWorkshop, PastWorkshop, Workshop
from tests.unit.checks.conftest import only
from tms_webhooks.checks.paths import check_managers
from tms_webhooks.sources import ClassSource


class OwnManager(models.Manager):
    """A manager that is open to some requests only."""

    def get_queryset(self):
        raise PermissionError


def add(monkeypatch, model, manager, name):
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


@pytest.mark.parametrize("manager", [models.Manager(), UserManager(), OwnManager()])
def test_a_manager_of_any_kind_will_do(declare, monkeypatch, manager):
    add(monkeypatch, TrainingClass, manager, "other")
    declare(ClassSource, TrainingClass)
    assert list(check_managers()) == []


def test_what_the_database_does_by_itself_is_pointed_out(declare, monkeypatch):
    by_database = getattr(models, "DB_CASCADE", object())
    monkeypatch.setattr(models, "DB_CASCADE", by_database, raising=False)
    monkeypatch.setattr(TrainingClass._meta.get_field("primary_classroom").remote_field, "on_delete", by_database)
    declare(ClassSource, TrainingClass)

    problem = only(check_managers(), "W056")

    assert problem.obj is TrainingClass
    assert "rows of training.TrainingClass when the target of primary_classroom is deleted" in problem.msg
    assert "models.CASCADE" in str(problem.hint)
    assert "reconcile = True" in str(problem.hint)


class FilteredManager(models.Manager):
    """A manager that hides rows."""

    def get_queryset(self):
        return super().get_queryset().filter(external_id__isnull=True)


@pytest.fixture
def _hidden_rows(monkeypatch):
    """Let the default manager of classes hide some."""
    manager = FilteredManager()
    manager.model = TrainingClass
    monkeypatch.setattr(ModelBase, "_default_manager", manager)


@pytest.mark.usefixtures("_hidden_rows")
def test_a_default_manager_that_hides_rows_is_reported_with_the_remedy(declare):
    source = declare(ClassSource, TrainingClass)

    problem = only(check_managers(), "W066")

    assert problem.obj is source
    assert "The default manager of training.TrainingClass hides rows" in problem.msg
    assert 'only = {"deleted_at": None}' in str(problem.hint)


@pytest.mark.usefixtures("_hidden_rows")
def test_a_source_that_leaves_rows_out_may_have_a_manager_that_hides_them(declare):
    declare(ClassSource, TrainingClass, only={"external_id": None})
    assert list(check_managers()) == []


def test_a_default_manager_that_needs_a_request_is_left_alone(declare, monkeypatch):
    monkeypatch.setattr(ModelBase, "_default_manager", OwnManager())
    declare(ClassSource, TrainingClass)
    assert list(check_managers()) == []
