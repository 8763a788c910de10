"""A signing secret is shown once; later it needs a permission and a confirmation, and is recorded."""

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import Action
from tms_webhooks.models import AuditEntry, Webhook


def page_of(webhook, page="secret"):
    return reverse(f"admin:tms_webhooks_webhook_{page}", args=[webhook.public_id])


def secret_of(webhook):
    return webhook.signing_secrets(timezone.now())[0]


def rotate(client, webhook, **values):
    """Ask for a new secret as the page does."""
    before = client.get(page_of(webhook, "rotate")).context["before"]
    return client.post(page_of(webhook, "rotate"), {"before": before, **values}, follow=True)


def assert_never_kept(response):
    assert "no-store" in response["Cache-Control"]


def test_the_secret_of_a_new_webhook_is_shown_once(operator):
    form = form_of(organization=OrganizationFactory().pk)

    response = operator.post(url(Webhook, "add"), form, follow=True)

    webhook = Webhook.objects.get()
    secret = secret_of(webhook)
    page = response.content.decode()
    assert f'<code id="tms-secret">{secret}</code>' in page
    for sample in ("def receive(", "export function receive(", "app.MapPost(&quot;/hook&quot;", "&lt;?php"):
        assert sample in page
    assert f'href="{page_of(webhook, "overview")}">I have copied it: continue</a>' in page
    assert_never_kept(response)
    again = operator.get(page_of(webhook))
    assert secret not in again.content.decode()
    assert_never_kept(again)


def test_it_is_in_no_message_no_history_no_session_and_no_audit_log(operator):
    operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk))
    webhook = Webhook.objects.get()
    sessions = [session.get_decoded() for session in Session.objects.all()]
    page = operator.get(page_of(webhook))
    rotate(operator, webhook)
    operator.post(page_of(webhook))

    assert all("whsec_" not in str(message) for message in page.context["messages"])
    assert "whsec_" not in str(sessions)
    assert "whsec_" not in str(list(AuditEntry.objects.values()))
    assert not LogEntry.objects.exists()


def test_rotation_needs_a_confirmation_and_keeps_the_old_secret_valid(operator):
    webhook = subscribed()
    old = secret_of(webhook)

    asked = operator.get(page_of(webhook, "rotate"))
    assert "both the old and the new secret for 24 hours" in text_of(asked)
    assert old not in asked.content.decode()
    assert secret_of(webhook) == old
    page = rotate(operator, webhook).content.decode()

    new, still = webhook.signing_secrets(timezone.now())
    assert still == old != new
    assert new in page
    assert new not in operator.get(page_of(webhook)).content.decode()
    assert "An older secret is valid until" in text_of(operator.get(url(Webhook, "change", webhook.public_id)))


def test_after_a_leak_the_old_secrets_end_immediately(operator):
    webhook = subscribed()
    leaked = secret_of(webhook)
    rotate(operator, webhook)
    assert leaked in webhook.signing_secrets(timezone.now())

    assert "End the old secret immediately" in text_of(operator.get(page_of(webhook, "rotate")))
    page = rotate(operator, webhook, end_old="on").content.decode()

    (only,) = webhook.signing_secrets(timezone.now())
    assert only in page
    assert only != leaked
    assert [entry.changes for entry in AuditEntry.objects.order_by("pk")] == [
        {"overlap_seconds": {"to": 86_400}},
        {"overlap_seconds": {"to": 0}},
    ]
    text = text_of(operator.get(url(Webhook, "change", webhook.public_id)))
    assert "An older secret is valid until" not in text


def test_a_second_click_rotates_nothing(operator):
    webhook = subscribed()
    before = operator.get(page_of(webhook, "rotate")).context["before"]

    answers = [operator.post(page_of(webhook, "rotate"), {"before": before}) for _ in range(2)]

    assert webhook.secrets.count() == 2
    # And yet the new one is seen, by whoever made it.
    assert secret_of(webhook) in operator.get(answers[1].url).content.decode()


def test_revealing_needs_a_confirmation(operator):
    webhook = subscribed()

    asked = operator.get(page_of(webhook))
    assert secret_of(webhook) not in asked.content.decode()
    assert "The audit log records that you viewed it." in text_of(asked)
    assert not AuditEntry.objects.exists()
    response = operator.post(page_of(webhook))

    assert secret_of(webhook) in response.content.decode()
    assert_never_kept(response)


def test_without_the_reveal_permission_only_a_new_secret_is_shown_once(operator, deny):
    deny(Action.REVEAL_SECRET)
    webhook = subscribed()

    assert "You do not have permission to reveal it." in text_of(operator.get(page_of(webhook)))
    assert operator.post(page_of(webhook)).status_code == 403
    assert not AuditEntry.objects.exists()
    assert "Copy it now" in text_of(rotate(operator, webhook))


def test_a_new_secret_is_shown_only_to_the_user_who_created_it(operator, staff):
    webhook = subscribed()
    rotated = operator.post(page_of(webhook, "rotate"), {"before": webhook.secrets.get().pk})
    other = staff("view_webhook", "change_webhook")

    assert secret_of(webhook) not in other.get(rotated.url).content.decode()
    assert secret_of(webhook) in operator.get(rotated.url).content.decode()


def test_a_secret_that_can_not_be_decrypted_is_reported_and_can_be_rotated(operator, settings_of_app):
    webhook = subscribed()
    settings_of_app(ENCRYPTION_KEYS=["A" * 43 + "="])

    page = text_of(operator.post(page_of(webhook), follow=True))
    assert "The secret can't be decrypted with the configured keys. Rotate it." in page
