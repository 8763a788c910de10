"""The pages in Spanish: nothing of ours is left in English."""

import re

from django.urls import reverse

from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Event, Webhook
from tms_webhooks.models.total import CountedAttempt

SPANISH = {"Accept-Language": "es"}


def spanish_at(client, address):
    return text_of(client.get(address, headers=SPANISH))


def test_the_form_asks_in_spanish(operator):
    webhook = subscribed(headers="X-Key=1")

    page = spanish_at(operator, url(Webhook, "change", webhook.public_id))

    for text in (
        "1 evento seleccionado",
        "Se canceló una clase: su estado pasó a Cancelada.",
        "Asignación de curso",
        "Creada course_assignment.created",
        "Activado",
        "Cabeceras HTTP",
        "Reintentos y notificaciones",
        "Rotarlo…",
        "Vista previa",
        "En Skillable Studio: Trigger Event.",
    ):
        assert text in page
    for text in ("events selected", "Send notification", "signing", "Caused by", "webhook is called", "Add filter"):
        assert text not in page


def test_errors_are_in_spanish(operator):
    webhook = subscribed()

    form = form_of(webhook, headers="no equals sign", schedule="soon 5", url="https://crm.example.com:81/")
    response = operator.post(url(Webhook, "change", webhook.public_id), form, headers=SPANISH)

    assert errors_at(response) == {
        "headers": ["Línea 1: Falta el «=». Escriba nombre=valor, o quite la línea."],
        "schedule": [
            "Calendario de reintentos, espera 1: 'soon' no es un número de segundos de 0 a 604800. Corríjalo o quítelo."
        ],
        "url": ["URL: el puerto 81 no está permitido; use 443, o pida al operador que lo permita."],
    }


def test_numbers_and_names_are_written_in_spanish(operator, clock):
    webhook = subscribed()
    delivery = write_delivery(webhook, now=clock.now, attempts=1)
    DeliveryAttempt.objects.create(
        delivery=delivery,
        number=1,
        started_at=clock.now,
        duration_ms=1,
        error_class="timeout",
        next_delay=5400.0,
        delay_reason="schedule",
    )
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, clock.now, AttemptResult.DELIVERED, 1_500)] * 3)()

    overview = spanish_at(operator, reverse("admin:tms_webhooks_webhook_overview", args=[webhook.public_id]))
    page = spanish_at(operator, url(Delivery, "change", delivery.public_id))

    assert re.search(r"El 95 % de las respuestas en menos de \d,\d+ s", overview)
    assert "El siguiente intento está previsto 1,5 h después" in page
    assert f"Entregas › Entrega {delivery.public_id} " in page
    assert "Autor Sistema" in spanish_at(operator, url(Event, "change", delivery.event.public_id))
