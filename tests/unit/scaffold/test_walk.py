"""Paths of foreign keys."""

import pytest

from example_project.training import models
from tms_webhooks.scaffold.declaration import is_organization, paths_to


def test_the_shortest_path_comes_first():
    found = paths_to(models.TrainingClass, is_organization)
    assert found[:3] == ["organization", "course.organization", "company.organization"]
    assert [path.count(".") for path in found] == sorted(path.count(".") for path in found)


def test_a_path_has_at_most_four_foreign_keys():
    assert max(path.count(".") for path in paths_to(models.ActivityResult, is_organization)) == 3
    assert paths_to(models.ActivityResult, is_organization, longest=1) == []


def test_a_walk_does_not_go_in_circles_or_through_its_target():
    assert paths_to(models.Organization, is_organization) == ["parent"]
    assert "organization.parent" not in paths_to(models.TrainingClass, is_organization)


def test_no_path_leads_there():
    assert paths_to(models.Role, is_organization) == []


@pytest.mark.parametrize("model, answer", [(models.Organization, True), (models.Company, False)])
def test_the_organization_model_is_the_one_of_the_setting(model, answer):
    assert is_organization(model) is answer
