"""The pages in Spanish: nothing of ours is left in English."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import reverse
from django.utils import translation

from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import Delivery, Webhook

pytestmark = pytest.mark.django_db

SPANISH = {"Accept-Language": "es"}


@pytest.fixture(autouse=True)
def _languages(settings) -> Iterator[None]:
    middleware = "django.middleware.locale.LocaleMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:2], middleware, *settings.MIDDLEWARE[2:]]
    yield
    # The middleware leaves the thread in the language of the last request.
    translation.deactivate()


def spanish_at(client, address: str) -> str:
    return text_of(client.get(address, headers=SPANISH))


def test_the_form_asks_in_spanish(operator):
    webhook = subscribed(headers="X-Key=1")

    page = spanish_at(operator, url(Webhook, "change", webhook.pk))

    for text in (
        "1 evento elegido",
        "Se suspendió una clase: su estado pasó a Cancelada.",
        "Asignación de curso",
        "Más de días",
        "Cabeceras HTTP",
        "Cuando falla",
        "Rotarlo…",
        "Vista previa",
    ):
        assert text in page
    for text in ("events chosen", "Send", "signing", "Caused by", "webhook gets", "Only some"):
        assert text not in page


def test_mistakes_are_told_in_spanish(operator):
    webhook = subscribed()

    form = form_of(webhook, headers="no equals sign", schedule="soon")
    response = operator.post(url(Webhook, "change", webhook.pk), form, headers=SPANISH)

    assert errors_at(response) == {
        "headers": ["La línea 1 no tiene «=». Escríbala como nombre=valor, o quítela."],
        "schedule": [
            "Calendario de reintentos: no hay ninguno llamado 'soon'. Elija uno de standard, skillable, none, o indique "
            "esperas en segundos."
        ],
    }


def test_the_pages_around_it_are_spanish_too(operator, clock):
    webhook = subscribed()
    delivery = write_delivery(webhook, now=clock.now)

    assert "Pendiente" in spanish_at(operator, url(Delivery, "changelist"))
    assert "La petición" in spanish_at(operator, url(Delivery, "change", delivery.pk))
    assert "Últimas 24 horas" in spanish_at(operator, reverse("admin:tms_webhooks_webhook_overview", args=[webhook.pk]))
    secret = spanish_at(operator, reverse("admin:tms_webhooks_webhook_secret", args=[webhook.pk]))
    assert "Que lo hizo queda escrito en el registro de auditoría." in secret
