"""A noun of the host's own is a group of the form, with its English title where no catalog translates it."""

import pytest
from django.utils.translation import override

from tests.catalogue import temporary_type
from tms_webhooks import catalogue
from tms_webhooks.admin.form_parts import preview_of, tokens_of
from tms_webhooks.admin.forms.events import groups_of, patterns
from tms_webhooks.catalogue import EventType, Noun, references
from tms_webhooks.models import Webhook

CERTIFICATE = Noun("certificate", "Certificate", references.identity("the certificate"))


@pytest.fixture(autouse=True)
def issued():
    with temporary_type(EventType("certificate.issued", CERTIFICATE, "A certificate was issued.")) as event_type:
        yield event_type


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_form_has_the_group_and_the_summary(language):
    with override(language):
        rows = groups_of(patterns(), [])["Certificate"]
        names = ["certificate.issued", "certificate.removed", "certificate.added"]
        assert [row.pattern for row in rows] == ["certificate.*", *names]
        assert str(rows[1].summary) == "A certificate was issued."


def test_the_preview_has_a_sample_and_the_tokens(issued):
    webhook = Webhook(url="https://receiver.example/{data.external_id}", format="standard")
    preview = preview_of(webhook, issued)
    assert (preview.problem, preview.url) == ("", "https://receiver.example/EXT-1001")
    assert "data.external_id" in tokens_of(webhook, [issued])


def test_the_preview_and_the_tokens_have_the_fields_of_the_hosts_own():
    webhook = Webhook(url="https://receiver.example/{data.custom.cost_center}", format="skillable")
    updated = catalogue.get("user.updated")
    preview = preview_of(webhook, updated)
    assert preview.url == "https://receiver.example/4711"
    assert '"Name": "Cost Center"' in preview.pretty
    assert {"data.custom.cost_center", "CustomFields"} <= set(tokens_of(webhook, [updated]))
