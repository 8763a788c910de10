"""Date columns whose names fit no field are named as candidates for the dates that are missing."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.test.utils import isolate_apps

from example_project.training.models import Course, Organization, User
from tms_webhooks.scaffold.declaration import Guesses
from tms_webhooks.scaffold.render import render


def rendered(kind: str, **fields: models.Field) -> str:
    """Return the file for a model with these fields and the usual foreign keys."""
    keys = {"organization": Organization, "course": Course, "user": User}
    usual = {name: models.ForeignKey(to, models.CASCADE, related_name="+") for name, to in keys.items()}
    meta = type("Meta", (), {"app_label": "training"})
    attributes: dict[str, Any] = {"__module__": __name__, "Meta": meta, **usual, **fields}
    return render(Guesses([(type("Thing", (models.Model,), attributes), kind)]), {})


@isolate_apps("example_project.training")
def test_the_only_date_that_is_left_is_named_next_to_each_date_that_is_missing():
    text = rendered(
        "course_assignment",
        started_at=models.DateTimeField(),
        completed_at=models.DateTimeField(),
        must_be_done_by=models.DateField(),
        remarks=models.TextField(),
    )
    assert '        # "expires_at": "must_be_done_by",  # the only other date; check it\n    }\n' in text
    null, unused = text.partition("# Null, because")[2].split("# In no payload:")
    assert "expires_at" not in null
    assert "target_completion_at" in null
    assert unused.startswith(" remarks, organization. ")
    assert text.count("must_be_done_by") == 1


@isolate_apps("example_project.training")
def test_several_dates_are_paired_in_their_order_with_the_others_as_alternatives():
    text = rendered("class", kickoff=models.DateTimeField(), wrapup=models.DateTimeField())
    assert (
        '        # "start_at": "kickoff",  # or "wrapup"; check it\n        # "end_at": "wrapup",  # or "kickoff"; check it\n'
    ) in text
    assert "# In no payload: user. " in text


@isolate_apps("example_project.training")
def test_dates_without_any_other_field_are_a_dictionary_that_compiles():
    text = rendered("learning_path", finale=models.DateField())
    assert '    fields = {\n        # "completed_at": "finale",  # the only other date; check it\n    }\n' in text
    compile(text, "webhooks.py", "exec")


@isolate_apps("example_project.training")
def test_a_remark_that_makes_a_line_too_long_has_a_line_of_its_own():
    name = "the_day_on_which_everything_must_be_handed_over"
    text = rendered("course_assignment", **{name: models.DateField()})
    assert f'        # "expires_at": "{name}",\n        # the only other date; check it\n' in text


@isolate_apps("example_project.training")
def test_a_date_that_django_sets_or_that_marks_deleted_rows_is_no_candidate():
    text = rendered(
        "course_assignment",
        filed=models.DateTimeField(auto_now_add=True),
        touched=models.DateTimeField(auto_now=True),
        deleted_at=models.DateTimeField(null=True),
        added=models.DateTimeField(),
    )
    assert "check it" not in text
    assert "expires_at" in text.partition("# Null, because")[2]


@isolate_apps("example_project.training")
def test_a_date_with_a_usual_name_is_mapped_without_a_question():
    text = rendered("class", starts=models.DateTimeField(), ends=models.DateTimeField(), filed=models.DateField())
    assert '        "start_at": "starts",\n        "end_at": "ends",\n' in text
    assert "check it" not in text
    assert "# In no payload: filed, user." in text
