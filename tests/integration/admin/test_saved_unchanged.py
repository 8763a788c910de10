"""Saving the unchanged form of a webhook changes nothing, in every language."""

import pytest
from django.conf import settings as django_settings
from django.utils import formats, translation

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.browsing import untouched
from tests.integration.admin.pages import url
from tms_webhooks.admin.forms.credentials import CREDENTIAL_FIELDS
from tms_webhooks.admin.forms.subscription import FIRST_OCCURRENCE, NONE, FiltersForm
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.models import AuditEntry, Subscription, Webhook
from tms_webhooks.models.credentials import to_text

FIRST_KEY = 1_234_567
# Those of the form alone, and the preset, which fills in others.
CARRIED = {"own_delays", "preset", "events"}
# A webhook has a URL or is pull-only.
NOT_WITH_A_URL = {"pull_only"}
# Each is another value than a new webhook has, and one that is easily written otherwise.
FILLED_IN = {
    "include_children": True,
    "audience": "both",
    "skip_own": True,
    "integration_kind": "api",
    "integration_id": "crm 1,5",
    "name": " Señales, «HR» & 1.000,5 ",
    "enabled": False,
    "verb": "PUT",
    "url": "https://hr.example.com/{id}?a=1,5&b=%2F",
    "headers": "X-Key=1,000.5\nX-Other=\u00e9",
    "authentication": "oauth2",
    "credentials": to_text(
        {
            "token_url": "https://login.example.com/token?a=1,5",
            "client_id": "1.000,5",
            "client_secret": " <1.000,5> ",
            "scope": "a 1.000,5",
            "audience": "Señales, «HR»",
            "client_authentication": "body",
        }
    ),
    "body_signature_header": "X-Hub-Signature-256",
    "body_signature_prefix": False,
    "delay_seconds": 12_345,
    "timeout_seconds": 29,
    "ordered": True,
    "max_in_flight": 27,
    "rate_limit_per_second": 1234.5,
    "format": "custom",
    "payload": "thin",
    "content": '\n{\n  "type": "{type}"\n}\n',
    "contents": {"class.*": '{"id": {data.id}}', "class.cancelled": "\n{}"},
    "max_retries": 7,
    "schedule": [0.5, 1000, 86_400],
    "error_action": "notify",
    "contacts": "ana@example.com\n\nluis@example.com\n",
}
PATTERNS = ["*", "enrollment.*", "user.updated", "course_assignment.expiring"]
IDS = [301, "A-7", 'B,"7"', " C", 12_345]


def languages():
    """Return a language for each way in which Django writes numbers."""
    ways = {}
    for code, _name in django_settings.LANGUAGES:
        with translation.override(code):
            names = ("DECIMAL_SEPARATOR", "THOUSAND_SEPARATOR", "NUMBER_GROUPING")
            ways.setdefault(tuple(formats.get_format(name, use_l10n=True) for name in names), code)
    return list(dict.fromkeys(["en", "es", *ways.values()]))


@pytest.fixture(scope="module")
def webhook(module_db):
    """A webhook with a value in every field, and subscriptions with all filters."""
    webhook = Webhook(organization=OrganizationFactory(), **FILLED_IN)
    webhook.full_clean()
    webhook.save()
    for number, pattern in enumerate(PATTERNS):
        form = FiltersForm(instance=Subscription(event_type=pattern))
        asked = Subscription(
            pk=FIRST_KEY + number,
            webhook=webhook,
            event_type=pattern,
            filters={name: _wanted(name, field) for name, field in form.filter_fields.items()},
            condition={"data.id": [12_345, "1.000,5", "«\n»"]},
            **({"more_than_days": 0.5, "less_than_days": 1234.5} if "less_than_days" in form.fields else {}),
            **({"quiet_seconds": 12_345, "quiet_longest_seconds": 23_456} if "quiet_seconds" in form.fields else {}),
        )
        asked.full_clean()
        asked.save()
    return webhook


def _wanted(name, field):
    if name == FIRST_OCCURRENCE:
        return True
    if not hasattr(field, "choices"):
        return IDS
    # One of each: Django reads a thousand fields of a form.
    last = field.choices[-1][0]
    return [None if last == NONE else last] * 2


def everything(webhook):
    """Return the stored rows of a webhook, and its audit entries."""
    tables = (Webhook.objects.filter(pk=webhook.pk), webhook.subscriptions, AuditEntry.objects)
    return [dict(row) for table in tables for row in table.order_by("pk").values()]


@pytest.mark.parametrize("thousands", [False, True], ids=["plain", "thousands"])
@pytest.mark.parametrize("language", languages())
def test_nothing_changes(operator, webhook, settings, language, thousands):
    settings.LANGUAGE_CODE = language
    settings.USE_THOUSAND_SEPARATOR = thousands
    opened = [f"filters={one.public_id}" for one in webhook.subscriptions.all()]
    before = everything(webhook)

    for query in ("", "&".join(opened)):
        address = f"{url(Webhook, 'change', webhook.public_id)}?{query}"
        form = untouched(operator.get(address).content.decode(), form="webhook_form")
        assert len(form.get("filters", ())) == (len(opened) if query else 0)
        response = operator.post(address, form)
        assert response.status_code == 302, response.context

    assert everything(webhook) == before


def test_changing_one_field_changes_nothing_else(operator, webhook, settings):
    settings.LANGUAGE_CODE = "es"
    one = webhook.subscriptions.get(event_type="enrollment.*")
    address = f"{url(Webhook, 'change', webhook.public_id)}?filters={one.public_id}"

    form = untouched(operator.get(address).content.decode(), form="webhook_form")
    del form[f"{one.public_id}-{FIRST_OCCURRENCE}"]
    assert operator.post(address, form).status_code == 302

    rest = {name: value for name, value in one.filters.items() if value is not True}
    assert webhook.subscriptions.get(pk=one.pk).filters == rest


def test_every_field_of_a_webhook_is_in_the_api_and_in_the_form_with_something_in_it(operator, webhook):
    form = operator.get(url(Webhook, "change", webhook.public_id)).context["adminform"].form
    fresh = Webhook()
    columns = {field.name for field in Webhook._meta.fields if field.editable and not field.primary_key}

    assert columns - {"organization"} == {*FILLED_IN, *NOT_WITH_A_URL}
    assert columns - {"credentials"} <= {*WebhookSerializer.Meta.fields}
    assert set(form.fields) == {*FILLED_IN, *CARRIED, *NOT_WITH_A_URL, *CREDENTIAL_FIELDS} - {"credentials"}
    assert [name for name, value in FILLED_IN.items() if value == getattr(fresh, name)] == []
    for one in webhook.subscriptions.all():
        row = FiltersForm(instance=one)
        assert [name for name in row.fields if row[name].value() in (None, "", [], False)] == []
