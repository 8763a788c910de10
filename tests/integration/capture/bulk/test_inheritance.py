"""Bulk changes of proxies and of models that extend others are recorded by their parent's source."""

from __future__ import annotations

import pytest

from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import OnsiteWorkshop, Workshop


@pytest.fixture(autouse=True)
def _listening(listen):
    listen(WorkshopSource, Workshop)


@pytest.fixture
def onsite(organization) -> list[OnsiteWorkshop]:
    made = [OnsiteWorkshop.objects.create(organization=organization, title=f"W{n}", room="7") for n in range(3)]
    prune_events()
    return made


@pytest.mark.usefixtures("small_chunks")
def test_a_childs_update_of_what_it_inherits_is_recorded(onsite, steps):
    assert OnsiteWorkshop.objects.filter(room="7", title__gt="W0").update(title="Same", room="8") == 2

    assert steps() == [("workshop.changed", "Same", {"title": title}) for title in ("W1", "W2")]
    assert OnsiteWorkshop.objects.filter(room="8", title="Same").count() == 2
