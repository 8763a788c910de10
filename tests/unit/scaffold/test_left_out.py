"""The models of an app that no source fits are named, if they may be objects."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test.utils import isolate_apps

from example_project.training.models import Classroom, Course, Organization, Role, User, Voucher
from tms_webhooks.management.commands.webhooks_scaffold import models_and_kinds
from tms_webhooks.scaffold.declaration import Guesses
from tms_webhooks.scaffold.kinds import may_be_object
from tms_webhooks.scaffold.render import render


def model(name: str, *bases: type, proxy: bool = False, **fields: models.Field) -> Any:
    meta = type("Meta", (), {"app_label": "training", "proxy": proxy})
    return type(name, bases or (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


@pytest.mark.parametrize("one", [Voucher, User, Course, Classroom, Role])
def test_a_model_with_columns_of_its_own_may_be_an_object(one):
    assert may_be_object(one)


@pytest.mark.parametrize("one", [Organization, Group, Permission, User.groups.through])
def test_an_organization_and_the_models_of_django_are_none(one):
    assert not may_be_object(one)


@isolate_apps("example_project.training")
def test_a_table_of_foreign_keys_and_a_proxy_are_none():
    keys = {name: models.ForeignKey(Course, models.CASCADE, related_name="+") for name in ("first", "second")}
    pair, shelf = model("Pair", **keys), model("Shelf", label=models.CharField(max_length=9))
    assert not may_be_object(pair)
    assert may_be_object(shelf)
    assert not may_be_object(model("Board", shelf, proxy=True))


def test_one_comment_names_them_and_how_to_name_their_kind():
    text = " ".join(render(Guesses([(Course, ""), (Classroom, ""), (Role, "")]), {}).replace("\n#", "").split())
    assert text.endswith(
        "training.Course, training.Classroom and training.Role have no source: no kind of object fits their names, "
        "columns and foreign keys. If one of them is an object, name it with its kind, as in webhooks_scaffold "
        "training.Course:class."
    )


def test_a_model_that_is_named_with_its_kind_next_to_its_app_is_not_left_out():
    guesses = Guesses([*models_and_kinds("training"), *models_and_kinds("training.Classroom:class")])
    assert Classroom not in guesses.rejected
    assert Course in guesses.rejected
    assert [one.kind for one in guesses.declarations if one.model is Classroom] == ["class"]
