"""The receiver that verifies, as a customer would run it."""

import http.client
import json
import queue
import re
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from example_project.receiver import ANY_PATH, LARGEST_BODY, Receiver, main
from tests.patience import PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {"id": "evt_1", "type": "class.cancelled", "data": {"name": "Zoë's class"}}


class Keeping(Receiver):
    """Keeps what it handled; ``broken`` has it fail."""

    broken = False

    def __init__(self, secrets):
        super().__init__(secrets)
        self.kept = []
        self.errors = queue.SimpleQueue()

    def handle(self, request, event):
        if self.broken:
            raise RuntimeError("the database is away")
        self.kept.append((request.path, event))

    def handle_error(self, request, client_address):
        self.errors.put(str(sys.exc_info()[1]))


def serve(receiver):
    with receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def receiver():
    yield from serve(Keeping({"/hook": SECRET}))


def send(receiver, *, secret=SECRET, at=None, body=None, path="/hook", **headers):
    """Sign and send the event, and return the status that came back."""
    at = at or datetime.now(UTC)
    content = json.dumps(EVENT).encode()
    signed = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, content.decode()),
    }
    connection = http.client.HTTPConnection("127.0.0.1", int(receiver.server_address[1]), timeout=PATIENCE)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body=content if body is None else body, headers={**signed, **named})
        return connection.getresponse().status
    finally:
        connection.close()


def test_what_is_signed_is_handled(receiver):
    assert send(receiver) == 204
    assert receiver.kept == [("/hook", EVENT)]


def test_what_comes_twice_is_handled_once(receiver):
    assert [send(receiver), send(receiver)] == [204, 204]
    assert receiver.kept == [("/hook", EVENT)]


@pytest.mark.parametrize(
    "forgery",
    [
        {"secret": "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="},
        {"body": b'{"id": "evt_1", "type": "class.completed"}'},
        {"body": b"\xff"},
        {"at": datetime.now(UTC) - timedelta(minutes=6)},
        {"webhook_id": "evt_2"},
        {"webhook_signature": "v1"},
        {"webhook_signature": "v1,not base64"},
        {"webhook_timestamp": "yesterday"},
    ],
    ids=["secret", "body", "bytes", "time", "id", "shape", "base64", "stamp"],
)
def test_a_forgery_is_refused_and_not_handled(receiver, forgery):
    assert send(receiver, **forgery) == 401
    assert receiver.kept == []


def test_a_path_without_a_secret_is_not_found(receiver):
    assert send(receiver, path="/other") == 404
    assert receiver.kept == []


def test_one_secret_can_stand_for_every_path():
    for receiver in serve(Keeping({ANY_PATH: SECRET})):
        assert send(receiver, path="/anything") == 204
        assert receiver.kept == [("/anything", EVENT)]


def test_what_could_not_be_handled_is_answered_with_500_and_handled_when_it_comes_again(receiver):
    receiver.broken = True
    assert send(receiver) == 500
    assert receiver.errors.get(timeout=PATIENCE) == "the database is away"

    receiver.broken = False
    assert send(receiver) == 204
    assert receiver.kept == [("/hook", EVENT)]


def test_a_body_that_is_too_large_is_refused_unread(receiver):
    assert send(receiver, body=b"", content_length=str(LARGEST_BODY + 1)) == 413
    assert receiver.kept == []


@pytest.mark.parametrize(
    "is_taken, secret, expected",
    [
        (True, SECRET, r"127\.0\.0\.1:\d+ is not available: address already in use; choose another --port"),
        (False, "whsec_x", "the secret is invalid: give all of it, with its beginning whsec_"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(receiver, monkeypatch, capsys, is_taken, secret, expected):
    port = str(receiver.server_address[1]) if is_taken else "0"
    monkeypatch.setattr(sys, "argv", ["receiver", "--port", port, "--secret", secret])

    with pytest.raises(SystemExit, match="2"):
        main()

    assert re.search(expected, capsys.readouterr().err)
