"""Warnings of models whose rows change by another name, or are taken for those of another model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from tests.integration.capture.workshops import WORKSHOP
from tests.testapp.models import Banquet, OnsiteWorkshop, PastWorkshop, Plaque, Talk, Ticket, Workshop
from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks import registered
from tms_webhooks.sources import Source, registry

Declare = Callable[..., Source]


class OfWorkshops(Source):
    noun = WORKSHOP


def said(source: Source) -> list[Any]:
    return list(registered.check(source))


@pytest.mark.parametrize("model", [PastWorkshop, OnsiteWorkshop])
def test_a_model_of_which_another_has_the_rows_is_warned_of(declare: Declare, model: type[models.Model]) -> None:
    problem = only(said(declare(OfWorkshops, model)), "W058")

    assert problem.msg == f"A row of {model._meta.label} that is changed through testapp.Workshop emits no event."
    assert str(problem.hint).startswith("Register testapp.Workshop as well, if each of its rows is an object")
    assert "through_parents = True" in str(problem.hint)


def test_a_model_whose_source_captures_its_parent_is_left_alone(declare: Declare) -> None:
    assert said(declare(OfWorkshops, OnsiteWorkshop, through_parents=True)) == []


def test_a_second_parent_whose_keys_are_others_is_not_captured(declare: Declare) -> None:
    problem = only(said(declare(OfWorkshops, Banquet, through_parents=True)), "W058")

    assert problem.msg == "A row of testapp.Banquet that is changed through testapp.Workshop emits no event."


def test_a_parent_that_is_registered_later_has_its_own_source(declare: Declare) -> None:
    child = declare(OfWorkshops, OnsiteWorkshop, through_parents=True)
    assert [one.model for one in registry.sources_of(Workshop)] == [Workshop]
    assert registry.all_sources() == [child]

    parent = declare(OfWorkshops, Workshop)

    assert registry.sources_of(Workshop) == [parent]


def test_a_model_whose_parent_is_registered_for_the_noun_is_left_alone(declare: Declare) -> None:
    declare(OfWorkshops, Workshop)
    assert said(declare(OfWorkshops, OnsiteWorkshop)) == []


def test_a_model_without_parents_is_left_alone(declare: Declare) -> None:
    assert said(declare(OfWorkshops, Workshop)) == []


def test_two_models_that_count_their_keys_are_reported(declare: Declare) -> None:
    first, second = declare(OfWorkshops, Workshop), declare(OfWorkshops, Talk)

    assert said(first) == []
    assert only(said(second), "W059").msg.startswith("testapp.Talk and testapp.Workshop both have the noun 'workshop'")


@pytest.mark.parametrize(("model", "fields"), [(Ticket, {}), (Plaque, {}), (Talk, {"id": "title"}), (Talk, {"id": ""})])
def test_keys_that_differ_are_left_alone(declare: Declare, model: type[models.Model], fields: dict[str, str]) -> None:
    declare(OfWorkshops, Workshop)
    assert ids(said(declare(OfWorkshops, model, fields=fields))) == []
