"""An error while a webhook is saved mails no header value, token or body to ADMINS."""

import logging

import pytest
from django.utils.log import AdminEmailHandler

from tests.integration.admin.pages import form_of, url
from tests.integration.api.conftest import client
from tms_webhooks.models import Webhook

__all__ = ["client"]

VALUE, TOKEN, PASSWORD = "Basic aHVudGVyMg==", "t0k3n-of-a-url", "p4ssw0rd-of-a-receiver"


class RecordedMail(AdminEmailHandler):
    """Django's handler of errors, which keeps its mails: text, and the page that has the variables of each frame."""

    def __init__(self):
        super().__init__(include_html=True)
        self.mails = []

    def send_mail(self, subject, message, *args, html_message=None, **kwargs):
        self.mails.append(f"{subject}\n{message}\n{html_message}")


@pytest.fixture
def sent(monkeypatch):
    """The mails of errors. A webhook can't be saved meanwhile."""
    sent = RecordedMail()
    logger = logging.getLogger("django.request")
    logger.addHandler(sent)

    def fail(*args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Webhook, "save", fail)
    yield sent
    logger.removeHandler(sent)


def text_of(sent):
    (text,) = sent.mails
    assert "the disk is full" in text

    return text


def test_an_error_of_the_form_mails_no_value(site, operator, sent, acme):
    operator.raise_request_exception = False
    address = f"https://receiver.example.com/?sig={TOKEN}"

    response = operator.post(
        url(Webhook, "add"),
        form_of(
            organization=acme.pk,
            name="X",
            url=address,
            headers=f"X-Key={VALUE}",
            authentication="basic",
            auth_username="tms",
            auth_password=PASSWORD,
        ),
    )

    assert response.status_code == 500
    text = text_of(sent)
    assert [secret for secret in (VALUE, "aHVudGVyMg", TOKEN, PASSWORD) if secret in text] == []


def test_an_error_of_the_api_mails_no_value(client, acme, sent):
    client.raise_request_exception = False
    body = {
        "organization": acme.pk,
        "name": "X",
        "url": f"https://receiver.example.com/?sig={TOKEN}",
        "headers": {"X-Key": VALUE},
        "authentication": {"kind": "basic", "username": "tms", "password": PASSWORD},
    }

    response = client.post("/api/webhooks/", body)

    assert response.status_code == 500
    text = text_of(sent)
    assert [secret for secret in (VALUE, "aHVudGVyMg", TOKEN, PASSWORD) if secret in text] == []
