"""What a stub says of a model, by names alone."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.test.utils import isolate_apps

from example_project.training.models import (
    ActivityResult,
    Classroom,
    Course,
    LearningPath,
    Organization,
    Role,
    User,
    Voucher,
)
from tms_webhooks.management.commands.webhooks_scaffold import may_be_object, models_and_nouns
from tms_webhooks.scaffold.declaration import SOURCES, Guesses, noun_by_name
from tms_webhooks.scaffold.render import render
from tms_webhooks.sources.registry import all_sources


def model(name, *bases, proxy=False, **fields):
    meta = type("Meta", (), {"app_label": "training", "proxy": proxy})
    return type(name, bases or (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


def key_of(target):
    return models.ForeignKey(target, models.CASCADE, related_name="+")


def written(*pairs):
    """Return the file on one line, without the marks of comments."""
    return " ".join(render(Guesses(pairs)).replace("\n    #", "").replace("\n#", "").split())


# Which source a model is


@pytest.mark.parametrize("source", all_sources(), ids=repr)
def test_the_models_of_the_example_project_are_what_it_registers_them_for(source):
    expected = "activity" if source.model is ActivityResult else source.noun.name
    # A computed path is registered for the model of the assignments, and the setting names the organizations.
    assert noun_by_name(source.model) == {"learning_path": "course_assignment", "organization": ""}.get(
        expected, expected
    )


@pytest.mark.parametrize(
    "one, noun",
    [
        (Organization, ""),
        (Role, ""),
        (LearningPath, "path"),
    ],
)
def test_a_model_that_is_no_object_of_a_noun_has_no_source(one, noun):
    assert noun_by_name(one) == noun
    assert noun not in SOURCES


def test_each_noun_has_a_source_of_its_own():
    assert len(set(SOURCES.values())) == len(SOURCES)


@pytest.mark.parametrize("one", [Voucher, User, Course, Classroom, Role])
def test_a_model_with_columns_of_its_own_may_be_an_object(one):
    assert may_be_object(one)


@pytest.mark.parametrize("one", [Organization, Group, Permission, User.groups.through])
def test_an_organization_and_the_models_of_django_are_none(one):
    assert not may_be_object(one)


def test_one_comment_names_the_others_and_how_to_name_their_noun():
    assert written((Course, ""), (LearningPath, ""), (Role, "")).endswith(
        "Without a source, because their names say no noun: training.LearningPath, training.Role. "
        "If one of them is an object, name its noun, as in webhooks_scaffold training.LearningPath:class."
    )


def test_a_model_that_is_named_with_its_noun_next_to_its_app_is_not_left_out():
    guesses = Guesses([*models_and_nouns("training"), *models_and_nouns("training.LearningPath:class")])
    assert LearningPath not in guesses.rejected
    assert Role in guesses.rejected
    assert [one.noun for one in guesses.declarations if one.model is LearningPath] == ["class"]


# Its organization


@isolate_apps("example_project.training")
def test_the_organization_of_the_course_is_the_owner_and_not_that_of_an_instructor():
    topic = model("Topic", owner=key_of(Organization))
    (guess,) = Guesses([(model("Session", lead=key_of(User), topic=key_of(topic)), "")]).declarations
    assert guess.attributes["owner"] == "topic.owner"


@isolate_apps("example_project.training")
def test_an_instructor_alone_leads_to_no_owner():
    assert "owner =" not in written((model("Session", lead=key_of(User)), ""))


@isolate_apps("example_project.training")
def test_an_organization_owns_itself_and_is_no_field_of_others():
    session = model("Session", tenant=key_of(Organization))
    text = written((Organization, "organization"), (session, ""))
    assert text.count('owner = "pk"') == text.count('owner = "tenant"') == 1
    assert '"organization":' not in text


# Its fields and statuses


@isolate_apps("example_project.training")
def test_columns_are_fields_by_their_names_and_the_missing_fields_are_named():
    columns = {"starts": models.DateTimeField(), "kickoff": models.DateTimeField()}
    text = written((model("Session", organization=key_of(Organization), **columns), ""))
    assert 'fields = { "start_at": "starts", }' in text
    null = text.partition("Null, because no name fits: ")[2]
    assert {"end_at", "classroom", "course", "instructor", "status"} <= set(null.rstrip(".").split(", "))


@isolate_apps("example_project.training")
def test_choices_are_statuses_where_their_names_say_so():
    state = models.CharField(choices=[("off", "Cancelled"), ("planned", "Planned")])
    text = written((model("Session", state=state), ""))
    assert 'statuses = { "status": { "off": "Cancelled", # "planned": ?' in text
