"""A branch of the tree of organizations that moves: webhooks above that include child organizations get events of what it owns."""

import json

import pytest

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
    VoucherFactory,
)
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.capture.conftest import work
from tests.outbox import prune_events
from tms_webhooks import moves, snapshot
from tms_webhooks.capture import captured_rows
from tms_webhooks.choices import JobStatus
from tms_webhooks.models import Delivery, Event, Job
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def branch(old):
    return OrganizationFactory(external_id="BRANCH", parent=old)


@pytest.fixture
def twig(branch):
    return OrganizationFactory(external_id="TWIG", parent=branch)


def family(organization, events=("*",), **values):
    return WebhookFactory(organization=organization, events=list(events), include_children=True, **values)


def received(webhook):
    rows = webhook.deliveries.order_by("pk").values_list("event__type", "event__subject_id")
    return [(name, int(subject)) for name, subject in rows]


def by_save(branch, parent):
    branch.parent = parent
    branch.save()


def by_update(branch, parent):
    Organization.objects.filter(pk=branch.pk).update(parent_id=parent.pk)


def by_bulk_update(branch, parent):
    branch.parent = parent
    Organization.objects.bulk_update([branch], ["parent"])


@pytest.mark.parametrize("move", [by_save, by_update, by_bulk_update])
def test_the_old_and_the_new_webhooks_above_get_what_the_branch_owns(old, new, branch, twig, move):
    above_both = OrganizationFactory()
    Organization.objects.filter(pk__in=[old.pk, new.pk]).update(parent=above_both)
    events = ["class.*", "organization.*", "voucher.*"]
    leaves, joins, stays = (family(one, events) for one in (old, new, above_both))
    alone, own = WebhookFactory(organization=old, events=events), family(branch, events)
    training_class, voucher = TrainingClassFactory(organization=branch), VoucherFactory(organization=twig)
    TrainingClassFactory(organization=old)
    prune_events()

    move(branch, new)
    jobs = work()

    owned = [
        ("class", training_class.pk),
        *(("organization", one.pk) for one in (branch, twig)),
        ("voucher", voucher.pk),
    ]
    assert received(leaves) == [(f"{noun}.removed", key) for noun, key in owned]
    assert received(joins) == [(f"{noun}.added", key) for noun, key in owned]
    assert received(stays) == received(alone) == received(own) == []
    assert [(job.webhook, job.status, job.done, job.requested_by) for job in jobs] == [
        (webhook, JobStatus.FINISHED, 4, f"organization:{branch.pk}") for webhook in (leaves, joins)
    ]
    removed, added = (json.loads(Event.objects.get(type=f"class.{verb}").body) for verb in ("removed", "added"))
    assert removed["organization"] == added["organization"] == {"id": branch.pk, "external_id": "BRANCH"}
    assert ("name" in removed["data"], added["data"]["name"]) == (False, training_class.name)
    # No other webhook gets what was made for these.
    fan_out(jobs[0].created_at)
    assert Delivery.objects.filter(event__webhook__isnull=False).count() == 8


def test_what_the_webhook_sees_through_its_learners_before_and_after_is_no_move(old, new, branch):
    audiences = {name: family(old, ["enrollment.*"], audience=name) for name in ("owner", "both")}
    enrollment = ClassEnrollmentFactory(training_class__organization=branch, user=UserFactory(organization=old))
    prune_events()

    by_save(branch, new)
    work()

    assert received(audiences["owner"]) == [("enrollment.removed", enrollment.pk)]
    assert received(audiences["both"]) == []


def test_filters_apply_to_what_joins_and_not_to_what_leaves(old, new, branch):
    webhooks = [family(organization, []) for organization in (old, new)]
    for webhook in webhooks:
        webhook.subscriptions.create(event_type="class.*", condition={"data.name": "Azure"})
    azure, other = (TrainingClassFactory(organization=branch, name=name) for name in ("Azure", "Python"))
    prune_events()

    by_save(branch, new)
    work()

    assert received(webhooks[0]) == [("class.removed", azure.pk), ("class.removed", other.pk)]
    assert received(webhooks[1]) == [("class.added", azure.pk)]


def test_a_branch_that_has_returned_was_never_away(old, new, branch):
    leaves, joins = family(old, ["class.*"]), family(new, ["class.*"])
    training_class = TrainingClassFactory(organization=branch)
    prune_events()

    by_save(branch, new)
    by_save(branch, old)
    work()

    assert received(leaves) == [("class.added", training_class.pk)]
    assert received(joins) == [("class.removed", training_class.pk)]


def test_a_branch_that_is_moved_again_has_its_events_in_the_order_of_the_moves(old, new, branch, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 1)
    webhook = family(old, ["class.*"])
    classes = [TrainingClassFactory(organization=branch) for _number in range(2)]
    prune_events()
    by_save(branch, new)
    first = Job.objects.get()
    assert snapshot.work_on(first, now=first.created_at)

    by_save(branch, old)
    second = Job.objects.exclude(pk=first.pk).get(webhook=webhook)
    assert not snapshot.work_on(second, now=first.created_at)
    work()

    assert received(webhook) == [
        ("class.removed", classes[0].pk),
        *(("class.added", one.pk) for one in classes),
    ]


def test_what_came_into_the_branch_by_the_same_statement_is_no_news_above(old, new, branch):
    webhook = family(old, ["class.*"])
    guest = OrganizationFactory(external_id="GUEST", parent=new)
    own, _foreign = TrainingClassFactory(organization=branch), TrainingClassFactory(organization=guest)
    prune_events()

    branch.parent, guest.parent = new, branch
    Organization.objects.bulk_update([branch, guest], ["parent"])
    work()

    assert received(webhook) == [("class.removed", own.pk)]


def test_a_pull_only_webhook_has_them_in_its_feed(old, new, branch):
    webhook = family(old, ["class.removed"], pull_only=True, url="")
    TrainingClassFactory(organization=branch)
    prune_events()

    by_save(branch, new)
    work()

    assert list(Event.objects.values_list("type", "webhook")) == [("class.removed", webhook.pk)]
    assert not Delivery.objects.exists()


def test_no_job_is_created_where_no_subscription_can_match(old, new, branch, monkeypatch):
    WebhookFactory(organization=old, events=["*"])
    with monkeypatch.context() as context:
        # The tree is not read in vain.
        context.setattr(captured_rows, "ancestors", None)
        by_update(branch, new)
        family(new)
        Organization.objects.filter(pk=branch.pk).update(name="Renamed")
        branch.save(update_fields=["name"])
    family(old, ["class.scheduled"])

    branch.parent = new
    branch.save()
    by_save(branch, old)
    Job.objects.get().delete()
    by_save(branch, None)

    assert not Job.objects.exists()


def test_a_branch_with_too_many_objects_and_a_webhook_that_is_disabled_say_so(old, new, branch, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 2)
    monkeypatch.setattr(moves, "MOST", 4)
    family(old, ["class.*"])
    family(new, ["class.*"], enabled=False)
    TrainingClassFactory.create_batch(7, organization=branch)
    prune_events()

    by_save(branch, new)
    many, disabled = work()

    assert (many.status, many.done, "More than 4 objects" in many.error) == (JobStatus.FAILED, 4, True)
    assert (disabled.status, "is disabled" in disabled.error) == (JobStatus.FAILED, True)


def test_the_admin_lists_the_job_with_its_deliveries(admin_client, old, new, branch):
    family(old, ["class.*"])
    TrainingClassFactory(organization=branch)
    by_save(branch, new)
    (job,) = work()

    page = admin_client.get(f"/admin/tms_webhooks/job/{job.public_id}/change/").content.decode()
    assert f"organization:{branch.pk}" in page
    assert "1 waiting" in page
