"""What a receiver is sent: the bytes, the headers, the signature."""

import pytest

from tests.integration.delivery.rows import body_of, subscribed, write_event
from tests.integration.delivery.wire import verify
from tms_webhooks import __version__
from tms_webhooks.choices import Verb
from tms_webhooks.models import Delivery
from tms_webhooks.models.encryption import reveal


def secret_of(webhook):
    return reveal(webhook.secrets.get(expires_at=None).value)


def attempts(clock, run, number):
    """Run the drain, and again when the delivery is due, so many times in all."""
    for _ in range(number):
        due_at = Delivery.objects.open().values_list("due_at", flat=True).first()
        clock.now = due_at or clock.now
        run()


@pytest.mark.parametrize("verb", Verb.values)
def test_a_receiver_gets_the_stored_bytes_signed_and_the_headers_of_its_own(receiver, drain, verb):
    headers = "Authorization=Basic dXNlcjpwYXNzPQ==\nX-Tenant=Zürich"
    webhook = subscribed(url=receiver.url, verb=verb, headers=headers)
    event = write_event(webhook.organization)

    drain()

    (request,) = receiver.received
    request.verify(secret_of(webhook))
    assert request.body == event.body.encode() == body_of("class.cancelled").encode()
    assert (request.method, request.path) == (verb, "/hook")
    assert (
        request.headers.items()
        >= {
            "content-type": "application/json",
            "user-agent": f"tms-webhooks/{__version__}",
            "webhook-id": event.public_id,
            "tms-delivery-id": Delivery.objects.get().public_id,
            "tms-attempt": "1",
            "content-length": str(len(event.body.encode())),
            "authorization": "Basic dXNlcjpwYXNzPQ==",
            "x-tenant": "Zürich",
        }.items()
    )


def test_the_id_and_the_bytes_are_the_same_on_every_attempt_and_the_signature_is_new(clock, run, wire):
    webhook = subscribed()
    event = write_event(webhook.organization)
    wire.answers = [500, 503]
    started_at = clock.now

    attempts(clock, run, 3)

    assert [request.headers["webhook-id"] for request in wire.requests] == [event.public_id] * 3
    assert [request.body for request in wire.requests] == [event.body.encode()] * 3
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["1", "2", "3"]
    assert len({request.headers["tms-delivery-id"] for request in wire.requests}) == 1
    stamps = [int(request.headers["webhook-timestamp"]) for request in wire.requests]
    assert [stamp - int(started_at.timestamp()) for stamp in stamps] == [0, 5, 65]
    assert len({request.headers["webhook-signature"] for request in wire.requests}) == 3
    for request in wire.requests:
        verify(request, secret_of(webhook))


@pytest.mark.parametrize(
    "line",
    [
        "webhook-signature=v1,forged",
        "Webhook-Id=evt_forged",
        "webhook-timestamp=1",
        "TMS-Attempt=99",
        "User-Agent=curl",
        "Content-Type=text/plain",
        "Host=other.example.com",
        "Transfer-Encoding=chunked",
        "no equals sign",
    ],
)
def test_stored_headers_that_break_a_rule_replace_none_of_ours_and_stop_nobody_else(run, wire, line):
    # As a fixture or a write past the form may leave them.
    bent = subscribed("/bent", headers=f"X-Fine=1\n{line}")
    sound = subscribed("/sound", organization=bent.organization)
    event = write_event(bent.organization)

    run()

    assert sound.deliveries.get().status == "delivered"
    for request in wire.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert len(headers) == len(request.headers)
        assert (
            headers.items()
            >= {
                "webhook-id": event.public_id,
                "tms-attempt": "1",
                "user-agent": f"tms-webhooks/{__version__}",
                "content-type": "application/json",
            }.items()
        )
        assert not {"host", "transfer-encoding"} & headers.keys()


def test_the_webhooks_own_timeout_is_the_deadline(run, wire):
    subscribed(timeout_seconds=7, happened=1)

    run()

    assert [request.deadline for request in wire.requests] == [7.0]
