"""However many rows change, only a chunk of them is in memory, beside the keys of all."""

import tracemalloc

import pytest
from django.db.models import F

from tests.testapp.models import Workshop
from tms_webhooks.capture import captured_rows, replaced_methods
from tms_webhooks.models import Event

ROWS = 800
KEY = 400
"""What a key may take: it is in a list, in a tuple, and in the dictionary that removes the duplicates."""


def peak_of(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("lenient")
def test_twenty_chunks_take_no_more_memory_than_two(workshops, monkeypatch):
    for module in (replaced_methods, captured_rows):
        monkeypatch.setattr(module, "CHUNK", 40)
    organization = workshops[0].organization
    Workshop.objects.bulk_create([Workshop(organization=organization, title="W") for _number in range(ROWS)])
    first = Workshop.objects.order_by("pk")[80].pk

    def add(rows):
        return rows.update(seats=F("seats") + 1)

    add(Workshop.objects.all())
    few = peak_of(lambda: add(Workshop.objects.filter(pk__lt=first)))
    many = peak_of(lambda: add(Workshop.objects.all()))

    assert Event.objects.count() >= 2 * ROWS
    assert many < few * 1.5 + ROWS * KEY
