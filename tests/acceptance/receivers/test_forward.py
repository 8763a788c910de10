"""`webhooks-forward.py` as a process: it reads the live API, and a receiver on loopback gets each event, signed, in order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey
from tests.factories import WebhookFactory
from tests.receiver import Answer, Receiver
from tms_webhooks.documents import forwarder
from tms_webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "whsec_" + "A" * 43 + "="
PROGRAM = Path(forwarder.__file__)


class Forwarding:
    """The program with a key of an organization, and a receiver."""

    def __init__(self, folder: Path, api: str, key: str, receiver: Receiver) -> None:
        self.folder, self.receiver = folder, receiver
        self.options = {
            "--api": api,
            "--key-env": "TMS_KEY",
            "--to": receiver.url,
            "--secret-env": "WEBHOOK_SECRET",
            "--cursor-file": "cursor.json",
            "--interval": "0.1",
        }
        # No variable of this process: the program needs the standard library alone.
        self.environment = {"TMS_KEY": key, "WEBHOOK_SECRET": SECRET}

    def start(self, *more: str, **changed: str) -> subprocess.Popen[str]:
        options = {**self.options, **{f"--{name.replace('_', '-')}": value for name, value in changed.items()}}
        return subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-W",
                "error",
                PROGRAM,
                *[part for one in options.items() for part in one],
                *more,
            ],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def once(self, *more: str, status: int = 0, **changed: str) -> str:
        """Run it to the end of the feed; return what it printed."""
        return self.ended(self.start("--once", *more, **changed), status)

    def ended(self, process: subprocess.Popen[str], status: int = 0) -> str:
        """Wait for its end; return what it printed, which has neither a secret nor a body."""
        printed = "".join(process.communicate(timeout=60))
        assert process.returncode == status, printed
        for secret in (*self.environment.values(), SECRET.removeprefix("whsec_"), '"data"', "v1,"):
            assert secret not in printed
        return printed

    @property
    def ids(self) -> list[str]:
        """The ids of the verified requests, in the order of arrival."""
        for request in self.receiver.received:
            request.verify(SECRET)
        return [request.headers["webhook-id"] for request in self.receiver.received]


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def webhook(organization):
    return WebhookFactory(organization=organization, events=["class.*"], enabled=False)


@pytest.fixture
def change(organization, webhook, drain) -> Callable[[], str]:
    """Make an event; return its id."""

    def change() -> str:
        TrainingClassFactory(organization=organization)
        drain()
        return Event.objects.order_by("-pk")[0].public_id

    return change


@pytest.fixture
def forwarding(tmp_path, live_server, organization) -> Iterator[Forwarding]:
    _key, clear = ApiKey.objects.create_key(name="Laptop", organization=organization)
    with closing(Receiver()) as receiver:
        yield Forwarding(tmp_path, f"{live_server.url}/api", clear, receiver)


def test_it_posts_each_event_once_in_order_and_reads_on_where_it_stopped(forwarding, change):
    first = [change(), change()]
    printed = forwarding.once()
    assert forwarding.ids == first
    assert [f"{one} class.scheduled: status 200" in printed for one in first] == [True, True]
    assert "Forwarded 2, skipped 0." in printed

    assert "Forwarded 0, skipped 0." in forwarding.once()
    third = change()
    forwarding.once()
    assert forwarding.ids == [*first, third]


def test_the_bytes_are_those_that_the_training_system_sends(forwarding, change):
    change()
    forwarding.once()

    (request,) = forwarding.receiver.received
    assert request.body.decode() == Event.objects.get().body
    assert request.headers["content-type"] == "application/json"


def test_the_feed_of_a_webhook_has_its_format(forwarding, change, webhook):
    webhook.format = "cloudevents"
    webhook.save()
    only = change()
    WebhookFactory(organization=webhook.organization, events=["course.*", "user.*"], enabled=False)

    forwarding.once(webhook=webhook.public_id)

    assert forwarding.ids == [only]
    (request,) = forwarding.receiver.received
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.event["specversion"] == "1.0"


def test_a_receiver_that_fails_or_is_down_loses_no_event_and_no_order(forwarding, change):
    expected = [change(), change()]
    forwarding.receiver.answers = [Answer(500), Answer(), Answer(503), Answer()]
    port = forwarding.receiver.port
    printed = forwarding.once()
    assert list(dict.fromkeys(forwarding.ids)) == expected
    assert len(forwarding.ids) == 4
    assert f"{expected[0]} class.scheduled: status 500. Next try in 0.5 s." in printed

    forwarding.receiver.close()
    third = change()
    process = forwarding.start("--once")
    assert process.stdout is not None
    for line in process.stdout:
        if "refused. Next try" in line:
            break
    with closing(Receiver(port)) as receiver:
        forwarding.receiver = receiver
        forwarding.ended(process)
        assert forwarding.ids == [third]


def test_ctrl_c_ends_it_after_an_event_that_is_not_sent_again(forwarding, change):
    first = change()
    process = forwarding.start()
    forwarding.receiver.wait_for(1, seconds=30)
    second = change()
    forwarding.receiver.wait_for(2, seconds=30)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(second):
            break
    process.send_signal(signal.SIGINT)
    printed = forwarding.ended(process)

    assert printed.splitlines()[-2:] == [
        "Stopped.",
        "Forwarded 2, skipped 0. The position is in cursor.json.",
    ]
    assert forwarding.ids == [first, second]
    forwarding.once()
    assert forwarding.ids == [first, second]


def test_it_continues_within_a_page(forwarding, change):
    events = [change(), change(), change()]
    (forwarding.folder / "cursor.json").write_text(json.dumps({"after": "", "last": events[0]}))

    forwarding.once()

    assert forwarding.ids == events[1:]


def test_it_can_begin_at_the_end_of_the_feed(forwarding, change):
    change()
    assert "Forwarded 0" in forwarding.once(start="latest")
    new = change()
    forwarding.once(start="latest")

    assert forwarding.ids == [new]


def test_an_event_without_a_body_is_named_and_skipped(forwarding, change):
    pruned, kept = change(), change()
    Event.objects.order_by("pk").filter(pk=Event.objects.order_by("pk")[0].pk).update(body="")

    printed = forwarding.once()

    assert f"{pruned} class.scheduled: skipped, it has no body (pruned)" in printed
    assert "Forwarded 1, skipped 1." in printed
    assert forwarding.ids == [kept]


def test_an_api_that_is_overloaded_is_asked_again(forwarding, organization):
    page = json.dumps({"results": [], "cursor": "c", "has_more": False}).encode()
    with closing(Receiver()) as api:
        api.answers = [Answer(503), Answer(429, {"Retry-After": "0"}), Answer(body=page)]
        printed = forwarding.once(api=f"http://127.0.0.1:{api.port}/api/")

    assert [request.path for request in api.received] == ["/api/events/?after="] * 3
    assert "The API does not answer: status 503. Next try in 0.5 s." in printed


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(401), "The API refuses the key. Correct the variable of --key-env"),
        (Answer(403), "The key may not read this feed."),
        (Answer(404), "The API has no such feed."),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}), "The API redirects (status 302). Correct --api"),
        (Answer(418), "The API refuses the request with status 418."),
        (Answer(400, body=b'{"errors": [{"code": "expired"}]}'), "The API refuses the cursor (expired)."),
        (Answer(body=b"<html>"), "The API's answer is not a page of the feed."),
        (Answer(body=b'{"results": [{"id": "a\\nb"}]}'), "The API's answer is not a page of the feed."),
    ],
)
def test_a_refusal_of_the_api_says_the_remedy(forwarding, answer, message):
    with closing(Receiver()) as api:
        api.answers = [answer]
        assert message in forwarding.once(status=1, api=f"http://127.0.0.1:{api.port}")

    assert len(api.received) == 1


def test_hidden_payloads_are_refused_and_not_skipped(forwarding):
    item = {"id": "evt_1", "type": "class.scheduled", "payload_state": "hidden", "payload": None}
    page = json.dumps({"results": [item], "cursor": "c", "has_more": False}).encode()
    with closing(Receiver()) as api:
        api.answers = [Answer(body=page)]
        printed = forwarding.once(status=1, api=f"http://127.0.0.1:{api.port}")

    assert "evt_1 class.scheduled: the key may not see its payload." in printed
    assert json.loads((forwarding.folder / "cursor.json").read_text()) == {"after": "", "last": ""}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"api": "http://tms.example.com/api"}, "--api: use https"),
        ({"api": "https://tms.example.com/api?page=1"}, "--api: use the URL without a query"),
        ({"api": "tms.example.com"}, "--api: use a URL that begins with http"),
        ({"to": "http://192.168.0.7:9000/hook"}, "--to: use an address of this machine"),
        ({"to": "http://user:pass@127.0.0.1/"}, "--to: use a URL"),
        ({"to": "http://127.0.0.1:0/"}, "--to: use a URL"),
        ({"key_env": "NO_SUCH"}, "--key-env: the environment variable NO_SUCH has no API key"),
        ({"secret_env": "TMS_KEY"}, "--secret-env: the environment variable TMS_KEY has no secret"),
        ({"webhook": "7"}, "--webhook: use the id of a webhook"),
        ({"interval": "0"}, "--interval: use seconds, from 0.1 to 3600"),
    ],
)
def test_an_invalid_option_is_named_with_its_remedy(forwarding, changed, message):
    assert message in forwarding.once(status=2, **changed)


@pytest.mark.parametrize("text", ["evt_1", "[]", '{"after": "c"}'])
def test_another_file_is_not_taken_for_the_cursor_file(forwarding, text):
    (forwarding.folder / "cursor.json").write_text(text)

    assert "cursor.json is not a cursor file." in forwarding.once(status=1)
    assert (forwarding.folder / "cursor.json").read_text() == text


def test_nothing_is_sent_if_the_position_cannot_be_stored(forwarding, change):
    change()

    printed = forwarding.once(status=1, cursor_file="no_such_folder/cursor.json")

    assert "no_such_folder/cursor.json can't be written: No such file or directory." in printed
    assert forwarding.ids == []
