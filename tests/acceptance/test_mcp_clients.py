"""Clients that others wrote use the endpoint of MCP: the official Python SDK, and the AI SDK, which subscribes to events.

The AI SDK is no dependency of the tests: ``.ci/clients`` installs it into the folder of ``TMS_CLIENT_TOOLS``.
"""

import json
import os
import socket
import subprocess
from contextlib import closing

import anyio
import pytest
from django.core.management import call_command

from example_project.training.choices import ConfirmationStatus
from example_project.training.models import ApiKey, TrainingClass
from tests.acceptance.once import ONCE
from tests.acceptance.test_clients import PROGRAMS, REQUIRED, TOOLS
from tests.patience import PATIENCE
from tms_webhooks.models import Webhook

pytestmark = [pytest.mark.slow, ONCE]

NAMES = ["find_deliveries", "why_not_sent", "resend_delivery", "webhook_health", "describe_event"]


@pytest.fixture
def key(world):
    """The API key of an organization."""
    return ApiKey.objects.create_key(name="Agent", organization=world.tenants[0].organization)[1]


@pytest.mark.parametrize("mode, version", [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
def test_the_python_sdk_agrees_on_a_version_lists_the_tools_and_calls_one(
    key, live_server, one_request_at_a_time, mode, version
):
    # Not in each process that collects the tests: the import takes a second.
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async def use():
        async with httpx2.AsyncClient(timeout=PATIENCE, headers={"Authorization": f"Bearer {key}"}) as http:
            transport = streamable_http_client(f"{live_server.url}/mcp/", http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=PATIENCE) as client:
                listed = await client.list_tools()
                good = await client.call_tool("describe_event", {"event_type": "class.cancelled"})
                bad = await client.call_tool("describe_event", {"event_type": "class.canceled"})
                return client.session.protocol_version, [one.name for one in listed.tools], good, bad

    agreed, names, good, bad = anyio.run(use)

    assert (agreed, names) == (version, NAMES)
    assert good.structured_content["title"] == "class.cancelled"
    assert (good.is_error, bad.is_error) == (False, True)
    assert "class.cancelled" in bad.content[0].text


def test_the_ai_sdk_subscribes_verifies_a_delivery_refreshes_and_unsubscribes(
    key, world, live_server, one_request_at_a_time, settings_of_app, tmp_path
):
    if not (TOOLS / "node_modules" / "@ai-sdk" / "mcp").exists():
        reason = "@ai-sdk/mcp is not in TMS_CLIENT_TOOLS; .ci/clients installs it."
        pytest.fail(reason) if "@ai-sdk/mcp" in REQUIRED else pytest.skip(reason)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    settings_of_app(ALLOWED_PORTS=[port])
    program = tmp_path / "mcp_events.mjs"
    program.write_bytes((PROGRAMS / program.name).read_bytes())
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    organization = world.tenants[0].organization
    environment = {
        "PATH": os.environ["PATH"],
        "TMS_URL": live_server.url,
        "TMS_KEY": key,
        "TMS_ORGANIZATION": str(organization.pk),
        "RECEIVER_PORT": str(port),
    }
    changed = TrainingClass.objects.filter(
        organization=organization, confirmation_status_id=ConfirmationStatus.SCHEDULED
    ).first()
    printed = []
    with subprocess.Popen(
        ["node", program.name],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout:
                printed.append(line.strip())
                if line.startswith("subscribed:"):
                    assert Webhook.objects.existing().filter(hook_of__gt="").count() == 1
                    changed.cancel()
                    call_command("webhooks_drain", "--until-idle", verbosity=0)
                    process.stdin.write("\n")
                    process.stdin.flush()
        finally:
            process.kill()

    assert printed == [
        "listed: 20 true",
        "received: 200",
        "subscribed: mcp_ null false",
        "received: 204",
        f"event: class.cancelled {changed.name}",
        "refreshed: true true",
        "unsubscribed: 0",
        f"tools: {' '.join(NAMES)}",
    ], json.dumps(printed, indent=1)
    assert not Webhook.objects.existing().filter(hook_of__gt="").exists()
