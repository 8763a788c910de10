"""``manage.py seed`` fills the example project with half a year of training, and prints accounts that can log in."""

from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.urls import reverse

from example_project.training.choices import (
    AssignmentCompletion,
    AssignmentStatus,
    CompletionStatus,
    ConfirmationStatus,
    EnrollmentStatus,
)
from example_project.training.models import (
    ClassEnrollment,
    CourseAssignment,
    CourseFeedback,
    SubscriptionAssignment,
    TrainingClass,
    User,
    UserAchievement,
    Voucher,
)
from example_project.training.sample_data import fill
from example_project.training.seed import seed
from tests.conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture
def world():
    world = seed(organizations=2, now=NOW)
    for tenant in world.tenants:
        fill(tenant, now=NOW)
    return world


def values(model, *names, **filters):
    return Counter(model._default_manager.filter(**filters).values_list(*names, flat=len(names) == 1))


def test_each_status_occurs(world):
    assert values(TrainingClass, "confirmation_status_id").keys() == set(ConfirmationStatus)
    assert values(ClassEnrollment, "enrollment_status_id").keys() == set(EnrollmentStatus)
    assert values(ClassEnrollment, "completion_status_id").keys() == set(CompletionStatus)
    assert values(CourseFeedback, "positive", "negative").keys() == {(True, False), (False, True), (False, False)}
    assert {one.completion_status for one in CourseAssignment.objects.all()} == set(AssignmentCompletion)
    assert values(CourseAssignment, "assignment_status").keys() == set(AssignmentStatus)
    assert {voucher.redeemed_at is None for voucher in Voucher.objects.all()} == {True, False}
    assert {one.cancelled_at is None for one in SubscriptionAssignment.objects.all()} == {True, False}
    assert UserAchievement.objects.count() > 10


def test_the_rules_of_the_training_system_hold(world):
    for model in apps.get_app_config("training").get_models():
        for record in model._default_manager.all():
            record.full_clean()
    assert not TrainingClass.objects.filter(confirmation_status_id=7, start_at__gt=NOW).exists()
    assert not ClassEnrollment.objects.exclude(enrollment_status_id=60).exclude(completion_status_id=0).exists()
    assert not ClassEnrollment.objects.filter(training_class__start_at__gt=NOW).exclude(completion_status_id=0).exists()
    for voucher in Voucher.objects.exclude(redeemed_at=None):
        assert voucher.purchased_at < voucher.redeemed_at < voucher.expires_at
        assert voucher.redeemed_class is not None
        assert voucher.redeemed_class.course == voucher.course


def test_the_data_is_the_same_each_time(world):
    again = seed(organizations=2, now=NOW)
    for tenant in again.tenants:
        fill(tenant, now=NOW)

    for before, after in zip(world.organizations, again.organizations, strict=True):
        for model, path, *names in (
            (User, "organization", "first_name", "last_name", "city"),
            (TrainingClass, "organization", "confirmation_status_id", "start_at"),
            (ClassEnrollment, "training_class__organization", "enrollment_status_id", "user__first_name"),
            (CourseAssignment, "user__organization", "started_at", "expires_at", "user__first_name"),
        ):
            assert values(model, *names, **{path: before}) == values(model, *names, **{path: after}), model


def test_the_command_prints_accounts_that_can_log_in(client):
    output = StringIO()

    call_command("seed", organizations=1, stdout=output)

    first, *lines = [line for line in output.getvalue().splitlines() if line]
    password = first.removeprefix("Password of these accounts: ")
    assert len(lines) == 3
    for line in lines:
        assert client.login(username=line.split()[0], password=password)
        assert client.get(line.split()[-1]).status_code == 200
        client.logout()


def test_an_administrator_has_the_pages_of_webhooks_and_of_the_own_training(client, world):
    tenant, other = world.tenants
    client.force_login(tenant.people.administrator)

    listed = client.get(reverse("admin:training_trainingclass_changelist")).context["cl"].queryset
    form = client.get(reverse("admin:tms_webhooks_webhook_add"))

    assert {one.organization for one in listed} == {tenant.organization}
    assert form.status_code == 200
    assert other.organization.name not in form.content.decode()
