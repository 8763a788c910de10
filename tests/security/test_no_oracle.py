"""Answers do not tell which names exist inside the operator's network."""

from __future__ import annotations

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from tests.factories import WebhookFactory
from tests.integration.admin.conftest import operator
from tests.integration.admin.pages import form_of, text_of, url
from tests.integration.api.conftest import acme, alice, client, names, policy, problem
from tms_webhooks.models import Webhook

pytestmark = pytest.mark.django_db

__all__ = ["acme", "alice", "client", "names", "operator", "policy", "problem"]

REFUSAL = "has no address that webhooks may call; check its spelling, use a public host, or ask the operator"


def test_a_host_that_does_not_exist_and_an_internal_one_get_the_same_answer(client, acme, names, problem):
    names["intranet.example.com"] = "10.1.2.3"
    answers = []
    for host in ("intranet", "nowhere1"):
        body = {"organization": acme.pk, "name": "CRM", "url": f"https://{host}.example.com/"}
        response = client.post("/api/webhooks/", body, format="json")
        problem(response, "invalid-request")
        answers.append(response.content.decode().replace(host, "HOST"))

    assert answers[0] == answers[1]
    assert REFUSAL in answers[0]
    assert Webhook.objects.count() == 0


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "api.localhost"])
def test_localhost_is_refused_at_every_door(client, operator, acme, problem, settings, tmp_path, host):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_HOSTS": []}
    address = f"https://{host}/"
    acme.external_id = "ACME"
    acme.save()
    document = {"organization": "ACME", "name": "CRM", "url": address, "subscriptions": []}
    path = tmp_path / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "webhooks": [document]}), encoding="utf-8")

    with pytest.raises(ValidationError, match="has no address that webhooks may call"):
        WebhookFactory.build(organization=acme, url=address).full_clean()
    with pytest.raises(CommandError, match="has no address that webhooks may call"):
        call_command("webhooks_import", str(path), "--keep-secrets")
    assert REFUSAL in text_of(operator.post(url(Webhook, "add"), {**form_of(url=address), "organization": acme.pk}))
    body = {"organization": acme.pk, "name": "CRM", "url": address}
    (error,) = problem(client.post("/api/webhooks/", body, format="json"), "invalid-request")["errors"]
    assert (error["pointer"], error["code"]) == ("#/url", "unsafe_url")
    assert REFUSAL in error["detail"]

    assert Webhook.objects.count() == 0
