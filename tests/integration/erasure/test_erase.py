"""A person is forgotten: no table and no line of the log holds anything of them, and what happened is still counted."""

import json
import logging
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from example_project.training.choices import EnrollmentStatus
from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseFeedbackFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import lease
from tests.receiver import Answer
from tms_webhooks import reconciliation
from tms_webhooks.actors import Actor
from tms_webhooks.choices import AuditAction, DeliveryStatus, JobKind
from tms_webhooks.manage import webhooks
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, Event, Job, SourceState, Webhook
from tms_webhooks.outbox.erasure import erase, people_in
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.sources.registry import all_sources

PRIVATE = {
    "first_name": "Xanthippe",
    "last_name": "Quilliam",
    "username": "xquilliam77",
    "email": "xan.quilliam@mail.example",
    "phone": "+31205550117",
    "address1": "Keizersgracht 4711",
    "title": "Chief Obscurity Officer",
    "external_id": "PERS-90210",
}
WROTE = "My colleagues were unbearable."


@pytest.fixture(autouse=True)
def logged(caplog):
    """Log all there is."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="tms_webhooks")
    return caplog


@pytest.fixture
def person():
    return UserFactory(organization=OrganizationFactory(), **PRIVATE)


def tables():
    """Every table of the app and of its queue, those of a relation included."""
    models = [model for label in ("tms_webhooks", "django_q") for model in apps.get_app_config(label).get_models(True)]
    return sorted({model._meta.db_table for model in models})


def everything():
    """Every column of every row, and every line of the log."""
    found = []
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += [f"{table}: {row!r}" for row in cursor.fetchall()]
    return "\n".join(found)


def traces(text):
    return [private for private in [*PRIVATE.values(), WROTE] if private.lower() in text.lower()]


@pytest.fixture
def organization_with_events(person, receiver, drain):
    """A life of events, recorded for webhooks of every kind, of which some failed, wait, or were never fanned out."""
    organization = person.organization
    receiver.respond = lambda request: Answer(200 if "good" in request.path else 500, body=request.body)
    for name, values in {
        "good": {},
        "bad": {"url": f"{receiver.url}/bad"},
        "flat": {"format": "skillable"},
        "own": {"format": "custom", "content": "{data}"},
        "off": {"enabled": False},
        "tokens": {"url": f"{receiver.url}/good?who={{data.user.email}}&{{data.email}}"},
    }.items():
        WebhookFactory(
            **{"organization": organization, "name": name, "url": f"{receiver.url}/good", "events": ["*"], **values}
        )
    enrollment = ClassEnrollmentFactory(
        training_class=TrainingClassFactory(organization=organization),
        user=person,
        enrollment_status_id=EnrollmentStatus.REQUESTED,
    )
    enrollment.enrollment_status_id = EnrollmentStatus.ENROLLED
    enrollment.save()
    CourseFeedbackFactory(class_enrollment=enrollment, content=WROTE)
    person.last_name = "Quilliam-Jones"
    person.save()
    drain()
    person.last_name = "Quilliam"
    person.save()  # not fanned out
    return organization


def test_nothing_of_the_person_is_left_in_any_table_or_log(organization_with_events, person, clock, receiver, caplog):
    assert any("who=xan.quilliam" in request.path for request in receiver.received)
    assert set(traces(everything())) == {*PRIVATE.values(), WROTE}
    events, attempts, types = Event.objects.count(), DeliveryAttempt.objects.count(), sorted(_types())
    AuditEntry.objects.record(
        AuditAction.WEBHOOK_UPDATED,
        Webhook.objects.get(name="good"),
        actor=Actor("administrator", str(person.pk), PRIVATE["email"]),
        now=clock.now,
    )
    Job.objects.create(
        kind=JobKind.RECOVER,
        webhook=Webhook.objects.get(name="good"),
        requested_by=PRIVATE["username"],
        created_at=clock.now,
    )
    Webhook.objects.filter(name="bad").update(contacts=f"{PRIVATE['email']}\nops@acme.example")

    erased = erase(person, now=clock.now)

    assert traces(everything()) == []
    assert traces("\n".join(record.getMessage() for record in caplog.get_records("setup") + caplog.records)) == []
    assert erased.events >= 5
    assert erased.cancelled > 0
    assert (erased.in_flight, erased.mentions) == (0, 3)
    # That it happened is kept.
    assert (Event.objects.count(), DeliveryAttempt.objects.count(), sorted(_types())) == (events, attempts, types)
    assert Webhook.objects.get(name="bad").contacts == "ops@acme.example"
    assert not Delivery.objects.open().filter(event__body="").exists()


def test_the_audit_log_loses_names_and_contacts_of_the_person_whatever_the_kind_of_actor(person, clock):
    webhook, address = WebhookFactory(organization=person.organization), PRIVATE["email"]
    actors = [Actor(kind, str(person.pk), address) for kind in ("user", "administrator", "api")]
    # A key of the host may have the id of the person.
    for actor in (*actors, Actor("api", str(person.pk), "Payroll")):
        for contacts in (f"ops@acme.example\n{address.upper()}", ""):
            webhook.contacts = contacts
            webhooks.update(webhook, ["contacts"], now=clock.now, actor=actor)
    # The log cuts the address in long lists. The second one is of another person.
    long = f"{'a' * 483}@acme.example"
    for contacts in (f"{long}\n{address}", f"x{address}"):
        webhook.contacts = contacts
        webhooks.update(webhook, ["contacts"], now=clock.now)
    assert AuditEntry.objects.latest("pk").changes["contacts"]["from"] == f"{long}\nxa…"

    call_command("webhooks_erase", str(person.pk), "--name", address)

    entries = AuditEntry.objects.order_by("pk").values_list("actor_label", "changes")
    *first, (_label, cut), (_system, other) = [(label, changes["contacts"]) for label, changes in entries]
    kept = {"from": "", "to": "ops@acme.example"}, {"from": "ops@acme.example", "to": ""}
    assert first == [(label, one) for label in ("", "", "", "Payroll") for one in kept]
    assert (cut, other) == ({"from": "", "to": long}, {"from": long, "to": f"x{address}"})
    assert erase(person.pk, names=[address], now=clock.now).mentions == 0


def _types():
    return list(Event.objects.values_list("type", flat=True))


def test_what_was_erased_is_never_sent_again(organization_with_events, person, clock, receiver, drain):
    erase(person, now=clock.now)
    seen = len(receiver.received)

    clock.advance(days=1)
    drain()

    assert [request for request in receiver.received[seen:] if traces(request.body.decode())] == []
    assert [request for request in receiver.received[seen:] if not request.body] == []


def test_others_are_left_alone(organization_with_events, person, clock):
    other = UserFactory(organization=organization_with_events, pk=int(f"{person.pk}7"), email="other@mail.example")
    ClassEnrollmentFactory(training_class=TrainingClassFactory(organization=organization_with_events), user=other)
    kept = set(Event.objects.filter(body__contains="other@mail.example").values_list("pk", flat=True))
    assert kept

    erase(person, now=clock.now)

    assert set(Event.objects.filter(body__contains="other@mail.example").values_list("pk", flat=True)) == kept


def test_what_is_being_sent_is_waited_for(organization_with_events, person, clock):
    fan_out(clock.now)
    delivery = Delivery.objects.filter(webhook__name="good", status=DeliveryStatus.PENDING).first()
    Delivery.objects.open().exclude(pk=delivery.pk).filter(webhook=delivery.webhook).update(
        due_at=clock.now + timedelta(days=1)
    )
    lease(delivery.webhook, clock.now + timedelta(seconds=15))

    erased = erase(person, now=clock.now)
    assert erased.in_flight == 1
    assert Event.objects.get(pk=delivery.event_id).body
    # It goes out no more, unless it is in flight already.
    assert Delivery.objects.get(pk=delivery.pk).status == DeliveryStatus.CANCELLED

    erased = erase(person, now=clock.now)
    assert (erased.events, erased.cancelled, erased.in_flight) == (1, 0, 0)
    assert traces(everything()) == []


def test_a_dry_run_counts_and_changes_nothing(organization_with_events, person, clock):
    before = everything()

    erased = erase(person, now=clock.now, dry_run=True)

    assert erased.events >= 5
    assert everything() == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_an_unknown_id_is_reported(db, capsys, options):
    call_command("webhooks_erase", "987654321", *options)

    assert capsys.readouterr().out.endswith(
        " No stored event has this id: the events are erased already, or the id is not data.user.id of the payloads.\n"
    )


def test_an_id_does_where_the_person_is_gone(organization_with_events, person, clock, capsys):
    call_command("webhooks_erase", str(person.pk), "--dry-run")
    assert capsys.readouterr().out.endswith("events are about this person; nothing was changed.\n")

    call_command("webhooks_erase", str(person.pk), "--name", PRIVATE["email"], "--json")

    facts = json.loads(capsys.readouterr().out)
    assert (facts["dry_run"], facts["in_flight"]) == (False, 0)
    assert traces(everything()) == []


def test_what_is_still_being_sent_makes_the_exit_status_1(organization_with_events, person, clock):
    fan_out(clock.now)
    delivery = Delivery.objects.filter(webhook__name="good", status=DeliveryStatus.PENDING).first()
    lease(delivery.webhook, clock.now + timedelta(days=30))

    with pytest.raises(SystemExit) as ended:
        call_command("webhooks_erase", str(person.pk))

    assert ended.value.code == 1


def test_what_is_remembered_to_find_unseen_changes_is_forgotten_too(
    organization_with_events, person, clock, monkeypatch
):
    sources = [one for one in all_sources() if one.noun.name in {"user", "feedback", "enrollment"}]
    for source in sources:
        monkeypatch.setattr(source, "reconcile", True, raising=False)
        reconciliation.reconcile(source, now=clock.now)
    colleague = UserFactory(organization=organization_with_events, email="other@mail.example")
    assert SourceState.objects.filter(state__contains=WROTE).exists()
    # The host forgets the person by a script of its own.
    with connection.cursor() as cursor:
        blank = ", ".join(f"{name} = ''" for name in PRIVATE if name not in {"username", "external_id"})
        cursor.execute(
            f"UPDATE training_user SET {blank}, username = 'gone', external_id = NULL WHERE id = %s", [person.pk]
        )
        cursor.execute("DELETE FROM training_coursefeedback WHERE user_id = %s", [person.pk])

    erase(person.pk, now=clock.now)

    assert traces(everything()) == []
    assert SourceState.objects.filter(state__contains=colleague.email).exists()
    before = Event.objects.count()
    assert sum(reconciliation.reconcile(source, now=clock.now).events for source in sources) == 0
    assert Event.objects.count() == before


def test_people_are_found_wherever_a_payload_speaks_of_them():
    event = {
        "data": {
            "id": 1,
            "name": "Class",
            "user": {"id": 2, "email": None},
            "staff": [{"id": "x-3", "first_name": "A"}],
        },
        "previous": {"user": {"id": 4, "last_name": "B"}},
        "actor": {"kind": "user", "id": "5"},
        "organization": {"id": 6},
    }

    assert sorted(people_in(event)) == ["2", "4", "x-3"]


def test_an_event_that_lists_the_person_among_others_is_blanked(person, clock):
    training_class = TrainingClassFactory(organization=person.organization)
    WebhookFactory(organization=person.organization, events=["class.*"])
    training_class.instructors.add(UserFactory(organization=person.organization), person)
    training_class.cancel()
    assert [person.email in event.body for event in Event.objects.all()] == [True, True]

    erase(person, now=clock())

    assert [event.body for event in Event.objects.all()] == ["", ""]
