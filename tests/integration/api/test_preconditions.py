"""Nobody's change is lost: ``If-Match`` lets a change through only to the state that its caller has seen."""

import pytest

from tests.factories import WebhookFactory
from tests.integration.api.people import at, client_of, codes_of, member_of
from tests.threads import at_once, several
from tms_webhooks.models import Webhook, WebhookState


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, name="CRM", headers="X-Key=1", events=["class.*"])


@pytest.fixture
def address(webhook):
    return at(webhook)


def patch(client, address, etag, **fields):
    return client.patch(address, fields, headers={"If-Match": etag})


def test_of_two_writers_who_saw_the_same_the_second_is_refused(client, acme, webhook, address, problem):
    bob = client_of(member_of(acme))
    seen_by_alice = client.get(address)["ETag"]
    seen_by_bob = bob.get(address)["ETag"]
    assert seen_by_alice == seen_by_bob

    first = patch(client, address, seen_by_alice, name="Alice's")
    second = patch(bob, address, seen_by_bob, timeout_seconds=5)

    assert first.status_code == 200
    problem(second, "precondition-failed")
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds) == ("Alice's", 20)
    assert patch(bob, address, first["ETag"], timeout_seconds=5).status_code == 200


@several
@pytest.mark.django_db(transaction=True)
def test_of_two_writers_at_once_one_is_refused(acme, webhook, address):
    alice, bob = (client_of(member_of(acme)) for _ in range(2))
    etag = alice.get(address)["ETag"]
    codes = []

    def write(client, name):
        return lambda: codes.append(patch(client, address, etag, name=name).status_code)

    assert at_once(write(alice, "A"), write(bob, "B")) == []

    assert sorted(codes) == [200, 412]


@pytest.mark.parametrize(
    "act, is_change",
    [
        (lambda client, address: client.patch(address, {"name": "HR"}), True),
        (lambda client, address: client.patch(address, {"headers": {"X-Key": "2"}}), True),
        (lambda client, address: client.post(f"{address}disable/"), True),
        (lambda client, address: client.post(f"{address}subscriptions/", {"event_type": "user.*"}), True),
        (lambda client, address: client.patch(address, {"name": "CRM"}), False),
        # What workers write.
        (lambda client, address: WebhookState.objects.update(failures=3), False),
    ],
)
def test_each_change_makes_another_tag(client, address, act, is_change):
    before = client.get(address)["ETag"]

    act(client, address)

    assert (client.get(address)["ETag"] != before) is is_change


@pytest.mark.parametrize(
    "method, path, body",
    [("delete", "", {}), ("post", "disable/", {}), ("post", "subscriptions/", {"event_type": "user.*"})],
)
def test_deleting_and_the_verbs_look_at_the_tag_too(client, address, problem, method, path, body):
    response = getattr(client, method)(f"{address}{path}", body, headers={"If-Match": '"old"'})

    problem(response, "precondition-failed")
    webhook = Webhook.objects.existing().get()
    assert (webhook.enabled, webhook.subscriptions.count()) == (True, 1)


@pytest.mark.parametrize("match", ["*", '"other", {}', "{}", "W/{}"])
def test_a_star_a_list_and_what_a_compressing_proxy_made_of_the_tag_match_too(client, address, match):
    etag = client.get(address)["ETag"]

    assert patch(client, address, match.replace("{}", etag), name="HR").status_code == 200


@pytest.mark.parametrize("match", ["", "5", "W/5", '"5', "**"])
def test_a_tag_that_is_none_is_refused(client, address, problem, match):
    assert list(codes_of(patch(client, address, match, name="HR"))) == ["If-Match"]


def test_without_the_header_the_last_writer_wins(client, address):
    assert client.patch(address, {"name": "A"}).status_code == 200
    assert client.patch(address, {"name": "B"}).json()["name"] == "B"
