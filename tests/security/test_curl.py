"""The copied ``curl`` command reads no local file, keeps each character of the request, and signs it anew."""

import os
import shutil
import subprocess

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.patience import PATIENCE
from tms_webhooks.documents.request_preview import preview_of
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.net.urls import MASK


@pytest.fixture(autouse=True)
def _is_installed():
    if shutil.which("curl") is None:
        pytest.skip("There is no curl.")


def script_of(webhook, body='{"a":1}'):
    """Return the command of a delivery with this body."""
    delivery = write_delivery(webhook, now=timezone.now())
    Event.objects.filter(pk=delivery.event_id).update(body=body)
    return preview_of(Delivery.objects.get(pk=delivery.pk), now=timezone.now()).curl


def run(script, webhook):
    """Run a command in a shell that has the secret, as a person who copied it would."""
    secret = reveal(webhook.secrets.get().value)
    shell = ["sh", "-eu", "-c", f"{script} --silent --show-error --noproxy '*' --max-time 10"]
    done = subprocess.run(
        shell,
        env={"SECRET": secret, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


BODIES = (
    '{"name":"it\'s $HOME `id` \\\\n \\"x\\" !! %s %d"}',
    '{"name":"Zoë 漢字 \U0001f600"}',
    '{"a": "line\\nbreak"}\n',
    "{}",
)


@pytest.mark.parametrize("body", BODIES)
def test_a_receiver_accepts_the_request_of_the_command(receiver, body):
    webhook = WebhookFactory(url=f"{receiver.url}/it's", verb="PUT", events=["*"])

    run(script_of(webhook, body), webhook)

    (request,) = receiver.received
    assert (request.method, request.path, request.body.decode()) == ("PUT", "/hook/it's", body)
    request.verify(reveal(webhook.secrets.get().value))


@pytest.mark.parametrize("content", ["@/etc/hostname", "@-", "<@/etc/hostname", "&@x", "=@/etc/hostname"])
def test_no_body_makes_curl_read_a_file(receiver, content):
    webhook = WebhookFactory(url=receiver.url, events=["*"], format="custom", content=content)

    run(script_of(webhook), webhook)

    (request,) = receiver.received
    assert request.body.decode() == content


@pytest.mark.parametrize("path", ["/[1-3]", "/{a,b}", "/$(id)", "/`id`", "/';id;'"])
def test_no_url_is_expanded(receiver, path):
    webhook = WebhookFactory(url=receiver.url, events=["*"])
    Webhook.objects.filter(pk=webhook.pk).update(url=receiver.url + path.replace("{", "%7B").replace("}", "%7D"))
    webhook.refresh_from_db()

    run(script_of(webhook), webhook)

    (request,) = receiver.received
    assert request.path == "/hook" + path.replace("{", "%7B").replace("}", "%7D")


def test_no_secret_is_in_the_command_and_it_says_what_to_fill_in():
    webhook = subscribed(headers="X-Key=hunter2")

    script = script_of(webhook)

    assert script.splitlines()[0].startswith("# First set SECRET to the signing secret of the webhook.")
    assert "# Replace the dots with the values of your headers." in script
    assert f"'X-Key: {MASK}'" in script
    assert "hunter2" not in script
    assert reveal(webhook.secrets.get().value) not in script
    assert f"webhook-signature: {MASK}" not in script
