"""An organization's administrator uses the actions of the example project: each asks first, and has its event."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from example_project.training import factories
from example_project.training.seed import seed
from tests.factories import WebhookFactory
from tms_webhooks.models import Event

DAY = timedelta(days=1)


@pytest.fixture
def tenant():
    return seed(organizations=1).tenants[0]


@pytest.fixture
def ours(tenant):
    WebhookFactory(organization=tenant.organization, events=["*"])
    return tenant.organization


@pytest.fixture
def administrator(client, tenant):
    client.force_login(tenant.people.administrator)
    return client


def page(record, name, *args):
    return reverse(f"admin:training_{record._meta.model_name}_{name}", args=args)


def act(client, action, *records, **values):
    """Choose an action of a list, confirm it, and return the messages."""
    chosen = {"action": action, "_selected_action": [record.pk for record in records]}
    answer = client.post(page(records[0], "changelist"), {**chosen, "confirmed": "yes", **values}, follow=True)
    return [str(message) for message in answer.context.get("messages", [])]


def recorded():
    return list(Event.objects.order_by("pk").values_list("type", "subject_id"))


def enrollment(ours, **values):
    return factories.ClassEnrollmentFactory(training_class__organization=ours, **values)


def assignment(ours, **values):
    return factories.CourseAssignmentFactory(course__organization=ours, **values)


def a_class(ours, **values):
    return factories.TrainingClassFactory(organization=ours, **values)


def running(ours):
    return a_class(ours, start_at=timezone.now() - DAY)


@pytest.mark.parametrize(
    "action, make, event_type",
    [
        ("approve", lambda ours: enrollment(ours, enrollment_status_id=0), "enrollment.approved"),
        ("deny", lambda ours: enrollment(ours, enrollment_status_id=20), "enrollment.denied"),
        ("complete", enrollment, "enrollment.completed"),
        ("complete", assignment, "course_assignment.completed"),
        ("cancel", assignment, "course_assignment.cancelled"),
        ("complete", running, "class.completed"),
        ("cancel", a_class, "class.cancelled"),
    ],
)
def test_an_action_makes_one_event_and_reports_it(administrator, ours, action, make, event_type):
    record = make(ours)
    Event.objects.all().delete()

    messages = act(administrator, action, record)

    assert messages == [f"1 {record._meta.verbose_name} changed."]
    assert recorded() == [(event_type, str(record.pk))]
    assert Event.objects.get().actor_kind == "administrator"


def test_a_voucher_is_redeemed_for_a_class_and_a_learner_of_the_organization(administrator, tenant, ours):
    voucher, training_class = tenant.voucher, tenant.classes.training_class
    learner = tenant.people.learners[0]

    act(administrator, "redeem", voucher, redeemed_class=training_class.pk, redeemed_by=learner.pk)

    voucher.refresh_from_db()
    assert (voucher.redeemed_class, voucher.redeemed_by) == (training_class, learner)
    assert recorded() == [("voucher.redeemed", str(voucher.pk))]


def test_an_action_asks_first_and_changes_nothing_until_confirmed(administrator, tenant, ours):
    training_class = tenant.classes.training_class
    url = page(training_class, "changelist")

    answer = administrator.post(url, {"action": "cancel", "_selected_action": [training_class.pk]})

    assert answer.context["title"] == "Cancel 1 class?"
    assert f"<li>{training_class}</li>" in answer.content.decode()
    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == 0
    assert recorded() == []


def test_a_user_who_may_only_look_has_no_actions(client, tenant, ours):
    viewer = tenant.people.learners[0]
    viewer.is_staff = True
    viewer.save()
    client.force_login(viewer)
    viewer.user_permissions.set(
        tenant.people.administrator.groups.get(name="Training administrators").permissions.filter(
            codename__startswith="view_"
        )
    )
    training_class = tenant.classes.training_class
    Event.objects.all().delete()

    shown = client.get(page(training_class, "change", training_class.pk))
    act(client, "cancel", training_class)

    assert shown.context["record_actions"] == []
    assert recorded() == []


def test_the_form_of_a_class_completes_none_before_it_starts(tenant):
    training_class = tenant.classes.training_class
    training_class.confirmation_status_id = 7
    with pytest.raises(ValidationError) as refused:
        training_class.full_clean()
    assert refused.value.message_dict == {
        "confirmation_status_id": ["A class can't be completed before it starts."],
    }
    training_class.start_at = timezone.now()
    training_class.full_clean()
