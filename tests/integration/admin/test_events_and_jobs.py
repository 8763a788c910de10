"""Events, jobs and audit entries, to look at."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import distinct, set_aside, subscribed, write, write_delivery, write_event
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.admin import events, logs
from tms_webhooks.choices import Action, ActorKind, AuditAction
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Webhook


def listed(client, model, **query):
    response = client.get(url(model, "changelist"), query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


@pytest.mark.parametrize("may_view", [False, True])
@pytest.mark.parametrize("model", [Delivery, Job, AuditEntry], ids=lambda model: model.__name__)
def test_a_row_links_its_webhook_for_those_who_may_view_webhooks(staff, model, may_view):
    webhook, now = subscribed(name="CRM"), timezone.now()
    write_delivery(webhook, now=now)
    Job.objects.create(kind="recover", webhook=webhook, created_at=now)
    AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=SYSTEM, now=now)
    codenames = [f"view_{model._meta.model_name}", *["view_webhook"] * may_view]

    client = staff(*codenames)

    link = f'href="{reverse("admin:tms_webhooks_webhook_overview", args=[webhook.public_id])}"'
    for address in (url(model, "changelist"), url(model, "change", model.objects.get().public_id)):
        response = client.get(address)
        assert "CRM" in text_of(response)
        assert (link in response.content.decode()) is may_view


def test_the_list_leaves_the_payloads_in_the_database(operator, django_assert_max_num_queries):
    write_event(subscribed().organization)

    with django_assert_max_num_queries(20) as captured:
        operator.get(url(Event, "changelist"))

    assert not [query for query in captured if '"body"' in query["sql"] or "`body`" in query["sql"]]


def try_again(client, *chosen):
    data = {"action": "try_again", "_selected_action": [one.public_id for one in chosen]}
    response = client.post(url(Event, "changelist"), data, follow=True)
    return [str(message) for message in response.context["messages"]]


def test_selected_events_that_are_set_aside_are_tried_again(alice, operator, django_capture_on_commit_callbacks):
    now = timezone.now()
    ours, others = (set_aside(one, now=now) for one in (alice.organization, OrganizationFactory()))
    fine = write_event(alice.organization)
    write(fine, fanned_out_at=now)
    page = text_of(operator.get(url(Event, "change", ours.public_id)))
    assert "Set aside after five tries, so no webhook has it: IntegrityError. After the repair" in page

    with django_capture_on_commit_callbacks(execute=True):
        assert try_again(alice, ours, fine) == ["1 event is tried again."]
    try_again(alice, others)

    assert distinct(Event.objects.to_fan_out(), "pk") == {ours.pk}
    assert set(Event.objects.set_aside()) == {others}


def test_to_try_an_event_again_needs_the_permission_to_change_deliveries(staff):
    event = set_aside(OrganizationFactory(), now=timezone.now())
    client = staff("view_event")

    assert "try_again" not in client.get(url(Event, "changelist")).content.decode()
    try_again(client, event)

    assert Event.objects.set_aside().exists()


@pytest.mark.parametrize(
    "statuses, status, results",
    [
        (["delivered", "delivered"], "Finished", "2 of 2, 2 delivered"),
        (["delivered", "waiting"], "Running", "2 of 2, 1 delivered, 1 waiting"),
        (["delivered"] * 11 + ["failed"], "Partly delivered", "12 of 12, 11 delivered, 1 failed"),
        (
            ["failed", *["skipped"] * 11],
            "Not delivered",
            "12 of 12, 1 failed, 11 skipped because the webhook was disabled",
        ),
        (["cancelled"], "Not delivered", "1 of 1, 1 cancelled"),
    ],
)
def test_a_job_is_as_finished_as_its_deliveries(operator, statuses, status, results):
    webhook, now, total = subscribed(), timezone.now(), len(statuses)
    values = {"kind": "recover", "status": "finished", "created_at": now, "finished_at": now}
    job = Job.objects.create(webhook=webhook, total=total, done=total, **values)
    for one in statuses:
        write_delivery(webhook, now=now, status=one, job=job.pk, due_at=now if one == "waiting" else None)
    write_delivery(webhook, now=now)

    rows = operator.get(url(Job, "changelist"))
    page = operator.get(url(Job, "change", job.public_id))

    for response in (rows, page):
        assert f">{status}</span>" in response.content.decode()
        link = f"{url(Delivery, 'changelist')}?job={job.public_id}"
        assert f'<a href="{link}">{results}</a>' in response.content.decode()
    assert len(listed(operator, Delivery, job=job.public_id)) == total
    assert "Skipped: 0" not in text_of(page)


def test_a_job_names_its_kinds_of_objects_and_writes_all_times_in_one_format(operator):
    at = timezone.now().replace(hour=9, minute=41, second=7)
    values = {"webhook": subscribed(), "created_at": at, "finished_at": at, "status": "finished"}
    snapshot = Job.objects.create(kind="snapshot", nouns=["course_assignment", "gone"], **values)
    recovery = Job.objects.create(kind="recover", since=at, until=at, **values)

    text = shown_at(operator, url(Job, "change", snapshot.public_id))
    assert "Objects Course assignment, gone" in text
    assert text.count("09:41:07") == 2
    assert shown_at(operator, url(Job, "change", recovery.public_id)).count("09:41:07") == 4


def test_the_log_has_the_deliveries_of_a_job_of_the_own_organizations_alone(alice):
    ours, theirs = subscribed(organization=alice.organization), subscribed()
    now = timezone.now()
    values = {"kind": "recover", "created_at": now}
    jobs = [Job.objects.create(webhook=webhook, **values) for webhook in (ours, theirs)]
    deliveries = [write_delivery(job.webhook, now=now, job=job.pk) for job in jobs]

    assert listed(alice, Delivery, job=jobs[0].public_id) == deliveries[:1]
    page = alice.get(url(Delivery, "changelist"), {"job": jobs[1].public_id})
    assert list(page.context["cl"].result_list) == []
    assert str(jobs[1]) not in text_of(page)


# Audit entries


def entry(webhook, **values):
    actor = Actor("administrator", "7", "Ann Admin")
    return AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=actor, now=timezone.now(), **values)


def test_an_entry_shows_actor_and_action(operator):
    row = entry(subscribed(name="CRM"), changes={"name": {"from": "A", "to": "<B>"}})

    assert "Webhook changed Ann Admin CRM name" in shown_at(operator, url(AuditEntry, "changelist"))
    text = shown_at(operator, url(AuditEntry, "change", row.public_id))
    assert "By Ann Admin (Administrator)" in text
    assert "Changes Name A → <B>" in text


def test_an_entry_has_its_changes_in_words_with_names_for_ids(operator, alice):
    training_class, webhook = (
        TrainingClassFactory(name="Azure in May"),
        subscribed(name="CRM", events=["class.updated"]),
    )
    subscription = webhook.subscriptions.get()
    changes = {
        "filters": {"from": {"class": [training_class.pk]}, "to": {"class": [987654], "actor_kind": ["api"]}},
        "quiet_seconds": {"from": 0, "to": 300},
        "condition": {"from": None, "to": {"data.id": 7}},
    }
    changed = entry(subscription, changes=changes)
    moved = entry(
        webhook, changes={"organization": {"from": None, "to": webhook.organization_id}, "error_action": "log"}
    )

    text = shown_at(operator, url(AuditEntry, "change", changed.public_id))
    assert f"Filters Class: Azure in May → Class: 987654; Caused by: {ActorKind.API.label}" in text
    # PostgreSQL keeps no order of the fields.
    assert "Quiet seconds 0 → 300" in text
    assert 'Condition {"data.id": 7}' in text
    assert f"Event class.updated Id {changed.target}" in text
    text = shown_at(operator, url(AuditEntry, "change", moved.public_id))
    assert f"Organization {webhook.organization}" in text
    assert "Error action Log" in text
    text = shown_at(operator, url(AuditEntry, "changelist"))
    assert [name for name in ("filters", "quiet seconds", "condition") if name not in text] == []

    Webhook.objects.filter(pk=webhook.pk).update(organization=alice.organization)
    AuditEntry.objects.update(organization=alice.organization)
    assert f"Filters Class: {training_class.pk} → " in shown_at(alice, url(AuditEntry, "change", changed.public_id))


# The page of an event: to whom it was sent, and to whom it may be shown


def test_it_is_filtered_by_webhook_and_reached_from_its_overview(operator):
    one, other = subscribed(), subscribed()
    wanted = entry(one)
    entry(other)

    overview = operator.get(reverse("admin:tms_webhooks_webhook_overview", args=[one.public_id])).content.decode()
    assert f"{url(AuditEntry, 'changelist')}?webhook={one.public_id}" in overview
    assert listed(operator, AuditEntry, webhook=one.public_id) == [wanted]


def test_the_logs_of_a_webhook_have_its_name_and_its_tabs(operator, staff, monkeypatch):
    webhook, other = subscribed(name="Z is beyond the first webhooks"), subscribed(name="A")
    entry(webhook)
    monkeypatch.setattr(logs, "MAX_WEBHOOKS", 1)
    tab = '<a href="{}?webhook={}" aria-current="page">{}</a>'

    for model, title in ((Delivery, "Delivery log"), (AuditEntry, "Audit log")):
        address = url(model, "changelist")
        page = operator.get(address, {"webhook": webhook.public_id}).content.decode()
        assert f"<h1><bdi>{webhook.name}</bdi></h1>" in page
        assert f"<title>{webhook.name} | " in page
        assert tab.format(address, webhook.public_id, title) in page
        # The filter still has the webhook, for a form that adds another filter.
        assert f'<option value="{webhook.public_id}" selected>' in page
        assert "tms-tabs" not in operator.get(address).content.decode()
    looking = staff("view_delivery").get(url(Delivery, "changelist"), {"webhook": webhook.public_id})
    assert "tms-tabs" not in looking.content.decode()
    Webhook.objects.filter(pk=other.pk).update(deleted_at=timezone.now())
    gone = operator.get(url(Delivery, "changelist"), {"webhook": other.public_id})
    assert "tms-tabs" not in gone.content.decode()


def page(event):
    return url(Event, "change", event.public_id)


def test_it_shows_to_whom_it_was_sent(operator):
    webhook = subscribed(name="CRM")
    delivery = write_delivery(webhook, now=timezone.now(), attempts=2)

    response = operator.get(page(delivery.event))

    assert re.search(r"CRM Pending 2 attempts due [0-9:]+", shown_at(operator, page(delivery.event)))
    assert url(Delivery, "change", delivery.public_id) in response.content.decode()


def test_it_says_why_it_was_not_sent(operator, monkeypatch):
    webhook = subscribed(name="CRM")
    event = write_delivery(webhook, now=timezone.now()).event
    subscribed(name="HR", organization=webhook.organization, events=["voucher.*"])
    Webhook.objects.update(created_at=event.fanned_out_at)
    assert "Not sent HR voucher.* does not include this event type." in shown_at(operator, page(event))
    monkeypatch.setattr(events, "MAX_EXPLAINED", 0)

    assert "Not sent HR All checks" in shown_at(operator, page(event))


def test_of_a_disabled_webhook_the_event_of_a_snapshot_says_why_it_was_not_sent(operator, monkeypatch):
    webhook = subscribed(name="CRM")
    subscribed(name="A webhook before it", organization=webhook.organization)
    event = write_event(webhook.organization, "class.snapshot")
    Event.objects.update(fanned_out_at=timezone.now(), webhook=webhook)
    Webhook.objects.filter(pk=webhook.pk).update(enabled=False, disabled_reason="gone")
    monkeypatch.setattr(events, "MAX_EXPLAINED", 1)

    text = shown_at(operator, page(event))

    assert "Not sent CRM The webhook is disabled. The receiver answered 410 Gone" in text
    assert "A webhook before it" not in text


def test_an_event_without_deliveries_says_so(operator):
    new, done = write_event(OrganizationFactory()), write_event(OrganizationFactory())
    Event.objects.filter(pk=done.pk).update(fanned_out_at=timezone.now(), error="no such field")

    assert "The event waits for a worker." in shown_at(operator, page(new))
    text = shown_at(operator, page(done))
    assert "None of your webhooks has a delivery of this event." in text
    assert "The payload could not be built: no such field" in text


def test_an_event_of_our_learners_elsewhere_is_ours_to_see_and_its_deliveries_elsewhere_are_not(alice):
    theirs = subscribed(name="theirs")
    delivery = write_delivery(theirs, now=timezone.now())
    ours = subscribed(name="ours", organization=alice.organization)
    Delivery.objects.create(event=delivery.event, webhook=ours, due_at=timezone.now(), created_at=timezone.now())
    assert alice.get(page(delivery.event)).status_code == 302
    Event.objects.filter(pk=delivery.event_id).update(learner_organization=alice.organization)

    assert listed(alice, Event) == [delivery.event]
    text = shown_at(alice, page(delivery.event))
    assert "ours Pending" in text
    assert "theirs" not in text


def test_payloads_are_for_those_whom_the_policy_lets_see_them(operator, deny):
    event = write_event(OrganizationFactory())
    assert "Zoë" in shown_at(operator, page(event))
    deny(Action.VIEW_PAYLOAD)

    assert "Zoë" not in shown_at(operator, page(event))


def test_deliveries_need_the_permission_to_view_the_log(staff):
    delivery = write_delivery(subscribed(name="CRM"), now=timezone.now())

    assert "Deliveries" not in shown_at(staff("view_event"), page(delivery.event))
