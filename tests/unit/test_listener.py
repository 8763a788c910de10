"""The receiver for development: it verifies requests, and answers with the status that it is given."""

import http.client
import time

import pytest
from standardwebhooks import Webhook as Verifier

from tests.patience import PATIENCE
from tms_webhooks.delivery.signing import signature_headers
from tms_webhooks.listener import Listener, ScriptedResponse, problem_with

SECRET = "whsec_" + "A" * 43 + "="
OTHER = "whsec_" + "B" * 42 + "A="
BODY = '{"id":"evt_1","data":{"name":"Zoë"}}\n'.encode()
SIGNED_AT = int(time.time())
SIGNED = signature_headers(secrets=[SECRET], message_id="evt_1", timestamp=SIGNED_AT, body=BODY)


def post(port, body=b"{}", headers=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    signed = signature_headers(secrets=[SECRET], message_id="evt_1", timestamp=int(time.time()), body=body)
    connection.request(method, "/hook", body, {**signed, **(headers or {})})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


@pytest.fixture
def listening():
    """Listen with these answers; return the listener and what came in."""
    opened = []

    def listening(respond=lambda request: ScriptedResponse(), secrets=(SECRET,)):
        received = []

        def keep(request):
            received.append(request)
            return respond(request)

        opened.append(Listener(keep, secrets=lambda: secrets))
        return opened[-1], received

    yield listening
    for listener in opened:
        listener.close()


def test_a_signed_request_is_verified(listening):
    listener, received = listening()

    assert post(listener.port, b'{"type":"class.cancelled"}') == (204, b"")

    (request,) = received
    assert request.verified
    assert (request.method, request.path, request.event) == ("POST", "/hook", {"type": "class.cancelled"})


def test_it_answers_as_configured_and_accepts_every_method(listening):
    listener, received = listening(lambda request: ScriptedResponse(429, {"retry-after": "9"}, b"slow down"))

    assert post(listener.port, method="PUT") == (429, b"slow down")
    assert received[0].method == "PUT"


def test_what_breaks_in_it_is_an_error_of_the_server(listening):
    def broken(request):
        raise ValueError(request)

    listener, _received = listening(broken)

    assert post(listener.port)[0] == 500


def test_a_body_over_the_limit_is_not_read(listening):
    listener, received = listening()

    assert post(listener.port, b"", {"content-length": str(2**40)})[0] == 413
    assert received == []


def test_a_connection_can_be_dropped_without_an_answer(listening):
    listener, received = listening(lambda request: ScriptedResponse(drop=len(received) == 1))

    with pytest.raises(http.client.RemoteDisconnected):
        post(listener.port)

    assert post(listener.port) == (204, b"")
    assert [request.verified for request in received] == [True, True]


def test_a_request_that_the_public_library_accepts_verifies_by_any_of_the_secrets():
    # Signed now: the library's clock can't be set, and it takes five minutes at most.
    now = int(time.time())
    assert Verifier(SECRET).verify(
        BODY, signature_headers(secrets=[SECRET], message_id="evt_1", timestamp=now, body=BODY)
    )
    for secrets in ([SECRET], [OTHER, SECRET]):
        assert problem_with(SIGNED, BODY, secrets=secrets, now=SIGNED_AT + 300.0) == ""


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"headers": {"webhook-id": ""}}, "has no webhook-id"),
        (
            {"headers": {"webhook-timestamp": "", "webhook-signature": ""}},
            "has no webhook-timestamp and no webhook-signature",
        ),
        ({"headers": {"webhook-id": "evt.1"}}, "webhook-id holds more than letters"),
        ({"headers": {"webhook-timestamp": "soon"}}, "webhook-timestamp is not a whole number"),
        ({"headers": {"webhook-timestamp": "१२"}}, "webhook-timestamp is not a whole number"),
        ({"headers": {"webhook-signature": "v2,abc"}}, "No signature matches"),
        ({"headers": {"webhook-signature": "v1,\udcff"}}, "No signature matches"),
        ({"secrets": []}, "knows no secret yet"),
        ({"secrets": [OTHER]}, "the secret belongs to another webhook or is no longer valid"),
        ({"body": BODY.rstrip()}, "the body was changed in transit. Verify the raw bytes"),
        ({"now": SIGNED_AT + 301.0}, "signed 301 s before it arrived"),
        ({"now": SIGNED_AT - 301.0}, "signed 301 s after it arrived"),
    ],
)
def test_the_problem_of_a_request_is_named_without_its_secret_and_its_body(changed, expected):
    given = {"headers": {}, "body": BODY, "secrets": [SECRET], "now": SIGNED_AT + 1.0, **changed}

    problem = problem_with({**SIGNED, **given.pop("headers")}, given.pop("body"), **given)

    assert expected in problem
    assert SECRET.removeprefix("whsec_") not in problem
    assert "Zoë" not in problem
