"""The page of a job starts the selection that it shows and has counted, and no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import TrainingClassFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import text_of
from tests.integration.admin.test_actions import act, given_up, local
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import Job

pytestmark = pytest.mark.django_db

CHANGED = "You changed the selection. Check the new number, then confirm."


def form_on(response):
    return untouched(response.content.decode(), form="tms-job")


@pytest.fixture
def webhook():
    return subscribed(events=["class.*", "enrollment.*"])


def test_a_range_that_is_changed_after_the_count_is_counted_again_and_starts_nothing(operator, webhook):
    given_up(webhook)
    given_up(webhook, ago=timedelta(days=3))
    page = operator.get(act(webhook, "recover"))
    assert "2 deliveries match." in text_of(page)

    answer = operator.post(
        act(webhook, "recover"), {**form_on(page), "since": local(timezone.now() - timedelta(days=1))}
    )

    assert CHANGED in text_of(answer)
    assert "1 delivery matches." in text_of(answer)
    assert not Job.objects.exists()
    operator.post(act(webhook, "recover"), form_on(answer))
    assert Job.objects.get().total == 1


def test_a_range_without_a_match_cancels_nothing(operator, webhook):
    write_delivery(webhook, now=timezone.now())
    page = operator.get(act(webhook, "cancel"))

    answer = operator.post(
        act(webhook, "cancel"), {**form_on(page), "since": local(timezone.now() - timedelta(minutes=5))}
    )

    assert "0 deliveries match." in text_of(answer)
    assert not Job.objects.exists()


def test_kinds_of_objects_that_are_unticked_after_the_count_are_not_sent(operator, webhook):
    TrainingClassFactory(organization=webhook.organization)
    page = operator.get(act(webhook, "snapshot"))
    form = form_on(page)
    assert form["nouns"] == ["class", "enrollment"]

    answer = operator.post(act(webhook, "snapshot"), {**form, "nouns": ["class"]})

    assert CHANGED in text_of(answer)
    assert "1 object will be sent." in text_of(answer)
    assert not Job.objects.exists()
    operator.post(act(webhook, "snapshot"), form_on(answer))
    assert Job.objects.get().nouns == ["class"]


@pytest.mark.parametrize("button", [{}, {"count": "1"}], ids=["start", "count"])
def test_no_kind_of_object_is_refused(operator, webhook, button):
    form = form_on(operator.get(act(webhook, "snapshot")))
    del form["nouns"]

    answer = operator.post(act(webhook, "snapshot"), {**form, **button})

    assert "Select at least one kind of object." in text_of(answer)
    assert not Job.objects.exists()


def test_the_count_starts_nothing(operator, webhook):
    given_up(webhook)
    form = form_on(operator.get(act(webhook, "recover")))

    answer = operator.post(act(webhook, "recover"), {**form, "count": "1"})

    assert "1 delivery matches." in text_of(answer)
    assert CHANGED not in text_of(answer)
    assert not Job.objects.exists()
