"""Events stand in the database of the change, where the drain reads them; a database without an outbox is left alone."""

import pytest
from django.db import transaction

from tests.hosts.models import Meetup, Tenant, Topic
from tests.receiver import Receiver
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

DATABASES = ["training", "default"]


@pytest.mark.django_db(databases=DATABASES)
def test_a_rollback_in_the_database_of_the_change_takes_the_event_with_it(meetup, recorded):
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="training"):
        meetup.title = "Never"
        meetup.save()
        assert len(recorded()) == 1
        raise ZeroDivisionError

    assert recorded() == []


@pytest.mark.django_db(databases=DATABASES)
def test_a_rollback_in_another_database_does_not(meetup, recorded):
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="default"):
        meetup.title = "For sure"
        meetup.save()
        raise ZeroDivisionError

    assert len(recorded()) == 1


@pytest.mark.django_db(databases=DATABASES)
def test_a_write_to_a_database_without_an_outbox_is_done_and_makes_no_event(meetup, recorded):
    tenant = Tenant.objects.using("default").create(name="Copy")
    topic = Topic.objects.using("default").create(name="Copy")

    copy = Meetup(tenant_id=tenant.pk, topic_id=topic.pk, title="Copy")
    copy.save(using="default")
    copy.title = "Copied"
    copy.save(using="default")
    Meetup.objects.using("default").update(title="Copied again")
    Meetup.objects.using("default").bulk_create([Meetup(tenant_id=tenant.pk, topic_id=topic.pk, title="Another")])
    Meetup.objects.using("default").filter(title="Another").delete()
    Meetup.objects.using("default").get().delete(using="default")

    assert recorded() == []
    assert not Meetup.objects.using("default").exists()


@pytest.mark.django_db(databases=DATABASES, transaction=True)
@pytest.mark.parametrize("using", [{}, {"using": "training"}], ids=["router", "using"])
def test_a_webhook_whose_secret_cant_be_saved_is_not_saved_either(using, monkeypatch):
    tenant = Tenant.objects.create(name="Acme")
    monkeypatch.setattr("tms_webhooks.models.webhook.new_secret", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        Webhook(organization=tenant, name="All", url="https://receiver.example/").save(**using)

    assert not Webhook.objects.exists()


@pytest.mark.django_db(databases=DATABASES, transaction=True)
def test_the_drain_reads_the_database_of_the_events(meetup, settings_of_app):
    receiver = Receiver()
    settings_of_app(ALLOWED_SCHEMES=["http"], UNCHECKED_HOSTS=["127.0.0.1"], ALLOWED_PORTS=[receiver.port])
    assert Event.objects.db == "training"
    Webhook.objects.update(url=f"http://127.0.0.1:{receiver.port}/")
    Meetup.objects.update(state="off")

    Drain(fan_out=fan_out).run(until_idle=True)
    receiver.close()

    assert Delivery.objects.get().status == "delivered"
    assert [event["type"] for event in receiver.events] == ["class.cancelled"]
