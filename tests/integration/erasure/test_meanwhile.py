"""A person is forgotten while others are at work on the same rows: nobody waits in a circle, and nothing is put back."""

from datetime import timedelta

import pytest
from django.db import connection

from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import Worker
from tests.threads import Beside, Lingering, several
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.erasure import erase

pytestmark = [pytest.mark.django_db(transaction=True), several]

BOB, ERIN, CAROL = "bob@acme.example", "erin@acme.example", "carol@acme.example"


@pytest.mark.parametrize("status", [410, 500])
def test_a_drain_writes_down_what_came_of_the_persons_events(clock, status):
    webhooks = [subscribed(path) for path in ("/1", "/2")]
    for number in range(150):
        for webhook in webhooks:
            # Those of a webhook come due in another order than that of their events.
            write_delivery(webhook, now=clock.now, due_at=clock.now - timedelta(seconds=number))
    worker = Worker("alice", clock=clock, wire=Wire(otherwise=answer(status)))
    batches = [[worker.answered(webhook) for webhook in webhooks] for _ in range(4)]
    Event.objects.update(body='{"data":{"user":{"id":7,"email":null}}}')

    def drain():
        for results in batches:
            worker.write(*results)

    assert Lingering(0.01).at_once(drain, lambda: erase("7", now=clock.now)) == []

    assert Event.objects.exclude(body="").count() <= sum(map(len, batches))
    # A failure of a delivery that was cancelled before says nothing more.
    assert all(failures <= 4 for failures in Webhook.objects.values_list("state__failures", flat=True))
    assert not Delivery.objects.open().filter(event__body="").exists()


def test_a_list_of_contacts_that_changes_just_then_is_not_put_back(clock):
    webhook = subscribed(contacts=f"{BOB}\n{ERIN}")
    beside = []

    def change():
        Webhook.objects.filter(pk=webhook.pk).update(contacts=f"{CAROL}\n{ERIN}")

    def just_then(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if not beside and "SELECT" in sql and "contacts" in sql:
            beside.append(Beside(change))
            # Time enough, unless it has to wait for us.
            beside[0].join(0.5)
        return result

    with connection.execute_wrapper(just_then):
        erase("7", now=clock.now, names=[BOB])
    beside[0].finish()

    webhook.refresh_from_db()
    assert webhook.contacts == f"{CAROL}\n{ERIN}"
