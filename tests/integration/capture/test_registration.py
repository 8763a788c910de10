"""`register` refuses mistakes with a message that names the remedy."""

import pytest
from django.db import models

from tests.integration.capture.workshops import WorkshopSource
from tests.registration import temporarily
from tests.testapp.models import PastWorkshop, Seat, Ticket, Workshop
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources import Source, register
from tms_webhooks.sources.registry import all_sources, sources_of


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = all_sources()
    yield
    assert all_sources() == before


class Shaped(models.Model):
    class Meta:
        abstract = True
        app_label = "testapp"


class Nameless(Source):
    pass


@pytest.mark.parametrize(
    "named, decorated, message",
    [
        *(
            ((one,), WorkshopSource, "name a model class")
            for one in ("testapp.Workshop", None, int, Workshop(title="P"))
        ),
        ((), WorkshopSource, "names no model"),
        ((Shaped,), WorkshopSource, "Shaped is abstract; register WorkshopSource for its subclasses"),
        (
            (Seat,),
            WorkshopSource,
            "Seat has a composite primary key; register WorkshopSource for a model with a key of one",
        ),
        ((Workshop,), Nameless, "Nameless has no noun"),
        *(
            ((Workshop,), one, "put it on a subclass of Source")
            for one in (object, WorkshopSource.events_for, Workshop)
        ),
    ],
)
def test_a_mistake_is_refused(named, decorated, message):
    with pytest.raises(ConfigurationError, match=message):
        register(*named)(decorated)


def test_registering_twice_is_refused():
    with (
        temporarily(WorkshopSource, Workshop),
        pytest.raises(ConfigurationError, match=r"WorkshopSource is registered twice for testapp\.Workshop"),
    ):
        register(Workshop)(WorkshopSource)


@pytest.mark.parametrize("thing", [WorkshopSource, object])
def test_a_decorator_without_a_model_is_refused_before_it_replaces_the_class(thing):
    with pytest.raises(
        ConfigurationError,
        match=rf"@register got the class {thing.__name__}, no model; name a model class: @sources\.register\(YourModel\)\.",
    ):
        register(thing)


def test_one_class_may_serve_several_models_and_one_model_several_classes():
    class Other(WorkshopSource):
        pass

    with (
        temporarily(WorkshopSource, Workshop) as first,
        temporarily(WorkshopSource, Ticket) as second,
        temporarily(Other, Workshop) as third,
    ):
        assert sources_of(Workshop) == [first, third]
        assert sources_of(PastWorkshop) == [first, third]
        assert sources_of(Ticket) == [second]


def test_the_decorator_returns_the_class(monkeypatch):
    monkeypatch.setattr("tms_webhooks.sources.registry._add", lambda source_class, model: None)

    assert register(Workshop, Ticket)(WorkshopSource) is WorkshopSource
