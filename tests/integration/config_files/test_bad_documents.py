"""A document that is wrong is refused whole: each problem by its place, with the remedy, and without secrets."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Webhook

GOOD = """\
version: 1
webhooks:
- organization: ACME-EU
  name: Good
  url: https://good.example.com/hook
"""


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Import a document that is wrong; return what was said. Nothing may come of it."""
    OrganizationFactory(external_id="ACME-EU")
    monkeypatch.setenv("HUNTER", "hunter2")

    def refused(text: str | bytes, *arguments: str) -> list[str]:
        file = tmp_path / "webhooks.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(CommandError) as error:
            call_command("webhooks_import", str(file), *arguments)
        assert error.value.returncode == 2
        assert not Webhook.objects.existing().filter(name="Good").exists()
        assert "hunter2" not in str(error.value)
        return str(error.value).splitlines()

    return refused


def second(lines: str) -> str:
    return f"{GOOD}- organization: ACME-EU\n  name: Bad\n  url: https://bad.example.com/hook\n{lines}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("  urll: https://x\n", "webhooks[1].urll: Unknown field 'urll'. Did you mean 'url'?"),
        (
            "  id: 7\n",
            "webhooks[1].id: This field is read-only here; remove it, because ids differ between environments.",
        ),
        (
            "  verb: FETCH\n",
            "webhooks[1].verb: 'FETCH' is not a valid choice; choose one of POST, PUT, PATCH, GET, DELETE.",
        ),
        ("  timeout_seconds: 90\n", "webhooks[1].timeout_seconds: Too large; use at most 30."),
        ("  secret: whsec_hunter2\n", "webhooks[1].secret: write {env: VARIABLE}; a document must not contain secrets"),
        (
            "  secret: {env: HUNTER}\n",
            "webhooks[1].secret: HUNTER does not hold a secret. A signing secret starts with",
        ),
        ("  secret: {env: NOT_SET}\n", "webhooks[1].secret: the environment variable NOT_SET is not set"),
        ("  headers: {X-Key: hunter2}\n", "webhooks[1].headers.X-Key: write {env: VARIABLE}"),
        (
            "  headers: {webhook-id: {env: HUNTER}}\n",
            "webhooks[1].headers.webhook-id: The system sets this header; remove it here.",
        ),
        ("  headers: [a]\n", "webhooks[1].headers: write a mapping"),
        ("  subscriptions: class.*\n", "webhooks[1].subscriptions: Expected a list"),
        ("  subscriptions: [class.*]\n", "webhooks[1].subscriptions[0]: Expected an object, got a string."),
        ("  subscriptions: [{event: clas.done}]\n", "webhooks[1].subscriptions[0].event: Unknown event: clas.done"),
        ("  subscriptions: [{event: '*', days: 3}]\n", "webhooks[1].subscriptions[0].days: Unknown field 'days'."),
        (
            "  subscriptions: [{event: class.*, filters: {course: [987654], class: [9, 10]}}]\n",
            "webhooks[1].subscriptions[0]: filters.course: unknown id 987654. Is this document from another",
        ),
        ("  name: Good\n", "The document is not YAML in line 6: duplicate key 'name'."),
    ],
)
def test_one_mistake_is_named_by_its_place(refused, lines, expected):
    problem, *others = refused(second(lines))

    assert problem.startswith(expected)
    assert len(others) == lines.count("class: [9, 10]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "The document is not a mapping"),
        (b"\xff\xfe", "is not UTF-8."),
        ("version: 2\nwebhooks: []\n", "version: 2 is not supported; write version: 1."),
        ("webhooks: []\n", "version: None is not supported"),
        ("version: 1\n", "webhooks: write a list"),
        ("version: 1\nwebhook: []\nwebhooks: []\n", "webhook: unknown key; a document has version and webhooks."),
        ("version: 1\nwebhooks: [7]\n", "webhooks[0]: write a mapping"),
        ("version: [\n", "The document is not YAML in line 2"),
        (GOOD.replace("ACME-EU", "ACME-US"), "webhooks[0].organization: no organization has the external id"),
        (GOOD.replace("ACME-EU", "[ACME-EU]"), "webhooks[0].organization: name the organization by its external id."),
        (GOOD.replace("name: Good", "name: ''"), "webhooks[0].name: give the webhook a name"),
        (GOOD + GOOD.partition("webhooks:\n")[2], "webhooks[1]: ACME-EU / Good is a duplicate of webhooks[0]."),
        (GOOD.replace("https://good", "http://10.0.0.1/good"), "webhooks[0].url: "),
    ],
)
def test_a_document_that_is_wrong_as_a_whole(refused, settings, text, expected):
    settings.TMS_WEBHOOKS = {"QUEUE": "tms_webhooks.queues.SilentQueue"}

    assert expected in refused(text)[0]


def test_all_mistakes_are_reported_together(refused):
    text = (
        second("  verb: FETCH\n") + "- organization: UNKNOWN\n  name: C\n  url: https://c.example.com/\n  color: red\n"
    )

    assert len(refused(text)) == 1  # the form of the document first
    assert len(refused(second("  verb: FETCH\n  timeout_seconds: 90\n"))) == 2


def test_two_webhooks_of_one_name_are_not_guessed_between(refused):
    organization = WebhookFactory(name="Bad", organization__external_id="B").organization
    WebhookFactory(name="Bad", organization=organization)

    (problem,) = refused(second("").replace("organization: ACME-EU\n  name: Bad", "organization: B\n  name: Bad"))

    assert problem == "webhooks[1]: several webhooks are named B / Bad; rename all but one."


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CommandError, match="nowhere.yaml can't be read: No such file"):
        call_command("webhooks_import", "nowhere.yaml")


def test_what_breaks_in_the_middle_leaves_nothing_behind(tmp_path, monkeypatch):
    OrganizationFactory(external_id="ACME-EU")
    file = tmp_path / "webhooks.yaml"
    file.write_text(second(""))
    made = Webhook.save

    def break_at_the_second(self, *args, **kwargs):
        if self.name == "Bad":
            raise RuntimeError("no")
        made(self, *args, **kwargs)

    monkeypatch.setattr(Webhook, "save", break_at_the_second)

    with pytest.raises(RuntimeError):
        call_command("webhooks_import", str(file))

    assert not Webhook.objects.exists()


# Large documents


def test_the_ids_of_all_filters_of_a_webhook_are_looked_up_together(refused):
    lists = [list(range(1_000 * number, 1_000 * number + 5)) for number in range(50)]
    rows = "".join(f"  - {{event: class.*, filters: {{course: {ids}}}}}\n" for ids in lists)

    with CaptureQueriesContext(connection) as queries:
        found = refused(second(f"  subscriptions:\n{rows}"))

    assert len(found) == 50
    assert found[0] == (
        "webhooks[1].subscriptions[0]: filters.course: unknown id 0, 1, 2, 3, 4. Is this document from another environment?"
    )
    assert len(queries) <= 10
