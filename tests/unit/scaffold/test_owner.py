"""The path to the organization that owns an object."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.test.utils import isolate_apps

from example_project.training.models import Organization, User
from tms_webhooks.scaffold.declaration import Guesses
from tms_webhooks.scaffold.render import render


def model(name: str, **fields: models.Field) -> Any:
    meta = type("Meta", (), {"app_label": "training"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


def key_of(target: Any) -> models.ForeignKey:
    return models.ForeignKey(target, models.CASCADE, related_name="+")


@isolate_apps("example_project.training")
def test_the_organization_of_the_course_comes_before_that_of_an_instructor():
    topic = model("Topic", owner=key_of(Organization))
    session = model("Session", lead=key_of(User), topic=key_of(topic))

    (guess,) = Guesses([(session, "class")]).declarations

    assert guess.attributes["organization"] == "topic.owner"
    assert not guess.behind_a_person


@isolate_apps("example_project.training")
def test_the_file_asks_where_only_an_instructor_leads_to_an_organization():
    guesses = Guesses([(model("Session", lead=key_of(User)), "class")])

    assert guesses.declarations[0].attributes["organization"] == "lead.organization"
    assert "# Guessed: no other path was found. Does the class belong to this person's" in render(guesses, {})
