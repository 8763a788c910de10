"""A document that is wrong is refused whole: each problem by its place, with the remedy, and without secrets."""

import pytest
from django.core.management import CommandError, call_command

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

    def refused(text, *arguments):
        file = tmp_path / "webhooks.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(CommandError) as error:
            call_command("webhooks_import", str(file), *arguments)
        assert error.value.returncode == 2
        assert not Webhook.objects.existing().filter(name="Good").exists()
        assert "hunter2" not in str(error.value)
        return str(error.value).splitlines()

    return refused


def second(lines):
    return f"{GOOD}- organization: ACME-EU\n  name: Bad\n  url: https://bad.example.com/hook\n{lines}"


@pytest.mark.parametrize(
    "lines, expected",
    [
        ("  urll: https://x\n", "webhooks[1].urll: Unknown field 'urll'. Did you mean \"url\"?"),
        (
            "  id: 7\n",
            "webhooks[1].id: This field is read-only here; remove it, because ids differ between environments.",
        ),
        (
            "  verb: FETCH\n",
            "webhooks[1].verb: 'FETCH' is not a valid choice; choose one of POST, PUT, PATCH, GET, DELETE.",
        ),
        ("  timeout_seconds: 90\n", "webhooks[1].timeout_seconds: Ensure this value is less than or equal to 30."),
        ("  secret: whsec_hunter2\n", "webhooks[1].secret: Write {env: VARIABLE}; a document must not contain secrets"),
        (
            "  secret: {env: HUNTER}\n",
            "webhooks[1].secret: This is no signing secret. A signing secret starts with",
        ),
        ("  secret: {env: NOT_SET}\n", "The environment variable NOT_SET is not set; set it, or use --keep-secrets."),
        ("  headers: {X-Key: hunter2}\n", "webhooks[1].headers.X-Key: Write {env: VARIABLE}"),
        (
            "  headers: {webhook-id: {env: HUNTER}}\n",
            "webhooks[1].headers.webhook-id: The system sets the header webhook-id. Choose",
        ),
        ("  headers: [a]\n", "webhooks[1].headers: Expected an object of header names and values, got a list."),
        ("  subscriptions: class.*\n", "webhooks[1].subscriptions: Expected a list"),
        (
            "  subscriptions: [class.*]\n",
            "webhooks[1].subscriptions[0]: Invalid data. Expected a dictionary, but got str.",
        ),
        (
            "  subscriptions: [{event_type: clas.done}]\n",
            "webhooks[1].subscriptions[0].event_type: Unknown event: clas.done",
        ),
        ("  subscriptions: [{event_type: '*', days: 3}]\n", "webhooks[1].subscriptions[0].days: Unknown field 'days'."),
        ("  name: Good\n", "The document can't be read in line 6: a key is given twice in one mapping."),
    ],
)
def test_one_mistake_is_named_by_its_place(refused, lines, expected):
    problem, *others = refused(second(lines))

    assert problem.startswith(expected)
    assert others == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "The document: This field may not be null."),
        (b"\xff\xfe", "is not UTF-8."),
        ("version: 2\nwebhooks: []\n", "version: A number is not a valid choice; choose one of 1."),
        ("webhooks: []\n", "version: This field is required."),
        ("version: 1\n", "webhooks: This field is required."),
        ("version: 1\nwebhook: []\nwebhooks: []\n", "webhook: Unknown field 'webhook'. Did you mean \"webhooks\"?"),
        ("version: 1\nwebhooks: [7]\n", "webhooks[0]: Invalid data. Expected a dictionary, but got int."),
        ("version: [\n", "The document can't be read in line 2"),
        (
            GOOD.replace("ACME-EU", "ACME-US"),
            "webhooks[0].organization: Not exactly one organization has the external id 'ACME-US'.",
        ),
        (
            GOOD.replace("ACME-EU", "[ACME-EU]"),
            "webhooks[0].organization: Not exactly one organization has the external id",
        ),
        (GOOD.replace("name: Good", "name: ''"), "webhooks[0].name: This field may not be blank."),
        (
            GOOD + GOOD.partition("webhooks:\n")[2],
            "webhooks[1].name: Several webhooks of the organization have this name",
        ),
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

    assert len(refused(text)) == 3
    assert len(refused(second("  verb: FETCH\n  timeout_seconds: 90\n"))) == 2


def test_two_webhooks_of_one_name_are_not_guessed_between(refused):
    organization = WebhookFactory(name="Bad", organization__external_id="B").organization
    WebhookFactory(name="Bad", organization=organization)

    (problem,) = refused(second("").replace("organization: ACME-EU\n  name: Bad", "organization: B\n  name: Bad"))

    assert problem == "webhooks[1].name: Several webhooks of the organization have this name; rename all but one."


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
