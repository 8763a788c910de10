"""Whoever locks several webhooks, or a webhook and what belongs to it, does it in one order: nobody meets in a circle.

Each of them rests after every statement, so that what two want in two orders they would hold in two orders.
"""

from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, UserFactory
from tests import sweeps
from tests.integration.admin.pages import url
from tests.integration.delivery.rows import distinct, lease, subscribed, write_delivery, write_events
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import Worker
from tests.threads import Lingering, several
from tms_webhooks.actors import Actor
from tms_webhooks.choices import ErrorAction, Priority
from tms_webhooks.config_files import synchronize
from tms_webhooks.delivery import sweep
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import Delivery, Event, Webhook, WebhookState
from tms_webhooks.outbox.fanout import fan_out

pytestmark = [pytest.mark.django_db(transaction=True), several]

GONE = answer(410)
BROKEN = answer(500)
WEEK = timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.fixture
def lingering():
    return Lingering(0.01)


@pytest.fixture
def pair():
    """Two webhooks of one organization, by their keys, which their names contradict. A third hears what becomes of them."""
    organization = OrganizationFactory(external_id="ACME")
    first, second = (subscribed(f"/{name}", organization=organization, name=name) for name in ("B", "A"))
    subscribed("/watch", organization=organization, name="C", events=["webhook.*"])
    return [first, second]


@pytest.fixture
def of_pair(pair):
    """Return what these fields of the two hold."""
    return lambda *fields: set(Webhook.objects.filter(pk__in=[one.pk for one in pair]).values_list(*fields))


@pytest.fixture
def drain(clock):
    """Make what writes down, as a worker of this name, an answer from each of these webhooks, some times over."""

    def drain(name, webhooks, says=BROKEN, *, times=1):
        worker = Worker(name, clock=clock, wire=Wire(otherwise=says))
        batches = [[worker.answered(webhook) for webhook in webhooks] for _ in range(times)]

        def write():
            for results in batches:
                worker.write(*results)

        return write

    return drain


@pytest.fixture
def admin(monkeypatch):
    """Make what has an admin do something to rows, in the order of the list; a request is one transaction there."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    def admin(action, rows, *, order="1"):
        client, address = superuser(), f"{url(type(rows[0]), 'changelist')}?o={order}"
        sure = {"post": "yes", "confirmed": "yes"}
        data = {"action": action, "_selected_action": [row.public_id for row in rows], **sure}

        def choose():
            assert client.post(address, data).status_code == 302

        return choose

    return admin


def superuser():
    client = Client()
    client.force_login(UserFactory(organization=None, is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def waiting(clock):
    """Write deliveries that wait for these webhooks, in turn."""

    def waiting(webhooks, number=3, **values):
        for _ in range(number):
            for webhook in webhooks:
                write_delivery(webhook, now=clock.now, status="waiting", attempts=1, **values)

    return waiting


@pytest.mark.parametrize("says", [BROKEN, GONE], ids=["judges", "disables"])
def test_two_drains_judge_the_same_webhooks_in_opposite_order(pair, of_pair, drain, waiting, lingering, clock, says):
    waiting(pair)
    alice, bob = drain("alice", pair, says, times=3), drain("bob", pair[::-1], says, times=3)

    assert lingering.at_once(alice, bob, lambda: sweeps.settle(clock.now)) == []

    sweeps.settle(clock.now)
    gone = says is GONE
    assert of_pair("enabled", "disabled_reason", "state__failures") == {(not gone, "gone" if gone else "", 6)}
    assert Delivery.objects.filter(webhook__in=pair).open().exists() is not gone
    assert Event.objects.filter(type="webhook.disabled").count() == 2 * gone


@pytest.mark.parametrize(
    "action, became",
    [("disable_selected", (False, "admin")), ("delete_selected", (True, ""))],
    ids=["disables", "deletes"],
)
def test_drains_judge_what_an_admin_stops(pair, of_pair, drain, admin, waiting, lingering, clock, action, became):
    waiting(pair)
    drains = [drain("alice", pair, times=6), drain("bob", pair[::-1], times=6)]

    assert lingering.at_once(*drains, admin(action, pair)) == []

    assert of_pair("enabled", "disabled_reason", "state__failures") == {(*became, 12)}
    assert not Webhook.objects.enabled().filter(pk__in=[webhook.pk for webhook in pair]).exists()
    sweeps.settle(clock.now)
    assert not Delivery.objects.open().exists()


def test_an_admin_sends_again_what_drains_disable(pair, drain, waiting, admin, lingering, clock):
    waiting(pair)
    for webhook in pair * 2:
        write_delivery(webhook, now=clock.now, status="exhausted", due_at=None)
    finished = list(Delivery.objects.filter(due_at=None))
    drains = [drain("alice", pair, GONE, times=4), drain("bob", pair[::-1], GONE, times=4)]

    assert lingering.at_once(*drains, admin("resend_selected", finished), admin("resend_selected", finished)) == []

    sweeps.settle(clock.now)
    assert distinct(Delivery.objects.open(), "pk", "priority") == {(one.pk, Priority.MANUAL) for one in finished}


def test_a_document_changes_what_a_drain_judges(pair, of_pair, drain, lingering, clock):
    text = "version: 1\nwebhooks:\n" + "".join(
        f"- {{organization: ACME, name: {webhook.name}, url: {webhook.url}, enabled: false}}\n"
        for webhook in pair[::-1]
    )

    def put():
        synchronize(text, actor=Actor("system"), now=clock.now, keep_secrets=True)

    assert lingering.at_once(drain("alice", pair, times=2), drain("bob", pair[::-1], times=2), put) == []

    assert of_pair("enabled", "disabled_reason", "state__failures") == {(False, "admin", 4)}


def test_events_are_fanned_out_while_all_webhooks_change(pair, of_pair, admin, lingering, clock):
    write_events(pair[0].organization, 40)

    def hold_back():
        Webhook.objects.order_by("-pk").update(delay_seconds=30)

    def hand_out():
        while fan_out(clock.now, limit=10):
            pass

    assert lingering.at_once(hand_out, hand_out, hold_back, admin("disable_selected", pair)) == []

    hand_out()
    assert of_pair("enabled", "delay_seconds") == {(False, 30)}
    assert [webhook.deliveries.filter(event__type="class.cancelled").count() for webhook in pair] == [40, 40]
    sweeps.settle(clock.now)
    assert not Delivery.objects.filter(webhook__in=pair).open().exists()


@pytest.mark.parametrize("says", [BROKEN, GONE], ids=["judges", "disables"])
def test_an_organization_goes_while_a_drain_works_for_its_webhooks(pair, drain, waiting, lingering, clock, says):
    waiting(pair, 6)
    claiming = Worker("bob", clock=clock, wire=Wire())

    def claim():
        for _ in range(6):
            claiming.claim(2)

    assert lingering.at_once(pair[0].organization.delete, drain("alice", pair, says, times=4), claim) == []

    assert not Webhook.objects.exists()


@pytest.mark.parametrize("action", ErrorAction.values)
def test_what_is_too_old_is_given_up_while_its_webhooks_are_disabled(
    pair, of_pair, drain, waiting, lingering, clock, action
):
    Webhook.objects.update(error_action=action)
    waiting(pair, created_at=clock.now - WEEK - SECOND)

    errors = lingering.at_once(lambda: sweeps.give_up_old(clock.now), drain("alice", pair, GONE))

    assert errors == []
    assert of_pair("enabled", "state__failures") == {(False, 1)}
    assert not Delivery.objects.filter(webhook__in=pair).open().exists()


def test_what_was_left_open_is_settled_while_a_drain_writes(pair, drain, waiting, lingering, clock):
    Webhook.objects.update(enabled=False)
    waiting(pair)
    for webhook in pair:
        lease(webhook, clock.now, worker="dead")

    def settle():
        sweeps.settle(clock.now)

    assert lingering.at_once(settle, settle, drain("alice", pair)) == []

    settle()
    assert not Delivery.objects.open().exists()


@pytest.mark.parametrize("action, enabled", [("disable_selected", False), ("enable_selected", True)])
def test_two_admins_see_the_same_webhooks_in_opposite_order(pair, of_pair, admin, lingering, action, enabled):
    WebhookState.objects.update(failures=3, pauses=2, paused_until=None)

    assert lingering.at_once(admin(action, pair), admin(action, pair, order="-1")) == []

    assert of_pair("enabled") == {(enabled,)}


def test_two_sweeps_give_up_what_is_too_old(pair, waiting, lingering, clock, monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", 3)
    waiting([*pair, *pair[::-1]], created_at=clock.now - WEEK - SECOND)

    def give_up():
        sweeps.give_up_old(clock.now)

    assert lingering.at_once(give_up, give_up) == []

    assert distinct(Delivery, "status") == {"exhausted"}
    assert Event.objects.filter(type="webhook.exhausted").count() == Delivery.objects.count() == 12


def test_a_secret_is_replaced_on_its_page_and_elsewhere(pair, lingering):
    webhook, client = pair[0], superuser()
    address = f"{url(Webhook, 'changelist')}{webhook.public_id}/secret/rotate/"

    def on_the_page():
        for _ in range(5):
            newest = webhook.secrets.get(expires_at=None).pk
            assert client.post(address, {"before": str(newest)}).status_code == 302

    def elsewhere():
        for _ in range(5):
            rotate(webhook, now=timezone.now())

    assert lingering.at_once(on_the_page, elsewhere) == []

    assert webhook.secrets.filter(expires_at=None).count() == 1
