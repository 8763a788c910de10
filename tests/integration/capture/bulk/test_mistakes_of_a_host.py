"""A source whose code raises never breaks a bulk change: the error is logged, and the events of the others are recorded."""

import pytest

from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks import signals
from tms_webhooks.models import Event
from tms_webhooks.sources import Computed

pytestmark = pytest.mark.usefixtures("small_chunks")


class Refusing(WorkshopSource):
    """Fails for one workshop of the five."""

    def events_for(self, change):
        if change.values["seats"] == 2:
            raise RuntimeError("no two seats")
        return super().events_for(change)


def headline_of(seats, title):
    if seats == 2:
        raise RuntimeError("no two seats")
    return title


class WithoutHeadline(WorkshopSource):
    """Can't compute the optional headline of one."""

    fields = {"headline": Computed(headline_of, reads={"seats": "seats", "title": "title"})}


class Broken(WorkshopSource):
    """Reads a property that raises."""

    fields = {"headline": "broken"}


@pytest.fixture
def five(organization):
    for seats in range(5):
        Workshop.objects.create(organization=organization, title=f"W{seats}", seats=seats)


CHANGES = {
    "update": lambda: Workshop.objects.update(title="Same"),
    "bulk_create": lambda: Workshop.objects.bulk_create(
        [Workshop(organization=one.organization, title="Same", seats=one.seats) for one in Workshop.objects.all()]
    ),
    "delete": lambda: Workshop.objects.all().delete(),
}


@pytest.fixture(params=CHANGES.values(), ids=CHANGES)
def change(request, five):
    return request.param


@pytest.mark.usefixtures("lenient")
def test_in_production_one_object_that_fails_leaves_the_others_theirs(listen, change, recorded, caplog):
    listen(Refusing, Workshop)

    change()

    assert sorted(event["data"]["seats"] for event in recorded()) == [0, 1, 3, 4]
    assert Workshop.objects.filter(title="Same").count() in {5, 0}
    assert "A change of testapp.Workshop could not be turned into an event." in caplog.text


@pytest.mark.usefixtures("lenient")
def test_in_production_an_object_without_its_computed_value_has_its_event(listen, change, recorded, caplog):
    listen(WithoutHeadline, Workshop)

    change()

    found = {event["data"]["seats"]: event["data"]["headline"] for event in recorded()}
    assert (sorted(found), found[2], found[3] in {"Same", "W3"}) == ([0, 1, 2, 3, 4], None, True)
    assert "headline: Computed(headline_of) of WithoutHeadline raised RuntimeError." in caplog.text
    assert "no two seats" in caplog.text


@pytest.mark.parametrize("source", [Refusing, WithoutHeadline, Broken])
def test_a_developer_is_recorded_by_the_error(listen, change, source):
    listen(source, Workshop)

    with pytest.raises(Exception, match="no two seats|raised RuntimeError"):
        change()


@pytest.mark.usefixtures("five")
def test_each_recorded_event_is_signalled_with_its_key(listen):
    listen(WorkshopSource, Workshop)
    heard = []

    def hear(event, **_kwargs):
        heard.append(event)

    signals.event_recorded.connect(hear)
    try:
        Workshop.objects.update(title="Same")
    finally:
        signals.event_recorded.disconnect(hear)

    assert [event.pk for event in heard] == list(Event.objects.order_by("pk").values_list("pk", flat=True))
    assert len(heard) == 5
