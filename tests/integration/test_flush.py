"""After a test that commits, the database is as `migrate` has left it."""

import pytest
from django.contrib.auth.models import Group, Permission

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests import flush

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_rows_of_the_test_go_and_those_of_migrate_stay():
    OrganizationFactory()
    permissions = list(Permission.objects.values_list("pk", flat=True))

    assert flush._flush("default")

    assert not Organization.objects.exists()
    assert list(Permission.objects.values_list("pk", flat=True)) == permissions != []


@pytest.mark.parametrize("change", [lambda: Group.objects.create(name="New"), lambda: Group.objects.first().delete()])
def test_a_changed_row_of_migrate_is_noticed(change):
    change()

    assert not flush._flush("default")
