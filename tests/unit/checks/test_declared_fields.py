"""The mapping of a source: names that exist, paths that lead somewhere, nothing missing, fields of the host's own."""

import pytest

from example_project.training.models import (
    Company,
    CourseFeedback,
    Organization,
    TrainingClass,
    User,
)
from tests.catalogue import temporary_type
from tests.unit.checks.conftest import (
    Declared,
    assignments,
    classes,
    enrollments,
    expect_of,
    ids,
    lesson_enrollments,
    lessons,
    only,
    paths_as_classes,
    report,
    users,
)
from tms_webhooks.catalogue import EventType, FieldKind, FieldPrivacy, Noun, references
from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.checks import GROUPS
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.checks.values import check_references
from tms_webhooks.scaffold.names import is_secret
from tms_webhooks.sources import (
    ActivityProgressSource,
    ClassSource,
    CompanySource,
    Computed,
    Constant,
    Created,
    Custom,
    FeedbackSource,
    Filled,
    First,
    Not,
    OrganizationSource,
    Source,
    registry,
)

pytestmark = pytest.mark.usefixtures("no_sources")

unmapped = Declared(ClassSource, TrainingClass)
feedback = Declared(FeedbackSource, CourseFeedback)
leveled = paths_as_classes(statuses={"status": {"beginner": 0, "intermediate": 1, "advanced": 7}})
own_user = Declared(Source, User, {"noun": USER, "rules": (Created("user.created"),), "fields": {"id": "pk"}})


def by(function):
    """Return a function that returns this, whatever it is called with."""
    return lambda **_values: function


MISTAKES = [
    # Names
    (
        classes(fields={"start": "start_at"}),
        "E031: fields['start'] is not one of the fields of the noun 'class'. "
        '-> Write one of id, external_id, name, ...Did you mean "start_at" or "status"?',
    ),
    (
        classes(fields={"organization": "company.organization"}),
        'E031: ... -> Write owner = "company.organization" in the class itself; `fields` does not change it.',
    ),
    (
        classes(fields={"session_times.room": "room"}),
        "E031: fields['session_times.room'] is not one of the fields of the noun 'class'.",
    ),
    # Paths
    (
        classes(fields={"session_times": "session_times", "session_times.start_at": "begins"}),
        "E032: fields['session_times.start_at'] is 'begins', but training.SessionTime has no attribute 'begins'. "
        "-> Correct the path, which begins at training.SessionTime, or write...",
    ),
    (
        classes(fields={"name": "course.nome"}),
        "E032: fields['name'] is 'course.nome', but training.Course has no attribute 'nome'. -> Correct the path, which "
        'begins at training.TrainingClass, or write None. Did you mean "name"?',
    ),
    (
        classes(fields={"status": "confirmation_status"}),
        "E032: fields['status'] is 'confirmation_status', but training.TrainingClass has no attribute "
        "'confirmation_status'. -> ...Did you mean \"confirmation_status_id\"?",
    ),
    (
        classes(fields={"instructor": "name"}),
        "E032: fields['instructor'] is 'name', but training.TrainingClass has only a plain column 'name'.",
    ),
    *(
        (
            classes(fields={"name": path}),
            f"E033: fields['name'] is {path!r}, but training.{model} has many objects in {part!r}. -> Name a property of ...",
        )
        for path, model, part in (
            ("enrollments.user.name", "TrainingClass", "enrollments"),
            ("course.learning_paths.name", "Course", "learning_paths"),
        )
    ),
    # Computed values; the objects of a list have none.
    (
        classes(fields={"instructors": "instructors", "instructors.first_name": First("first_nam", "last_name")}),
        "E032: fields['instructors.first_name'] is 'first_nam', but training.TrainingClass has no attribute 'first_nam'.",
        "E032",
    ),
    (
        lessons(fields={"enabled": Not("open")}),
        "E032: fields['enabled'] is 'open', but testapp.Lesson has no attribute 'open'. -> ...begins at testapp.Lesson...",
    ),
    # What is missing
    (
        unmapped,
        "E034: 'status' is needed by the noun 'class', but training.TrainingClass has no such attribute, or it is left out. "
        '-> Name the attribute: fields = {"status": "…"}. Or make the value by a function: Computed(function, reads={…}). '
        "manage.py webhooks_scaffold training.TrainingClass guesses paths.",
    ),
    (
        enrollments(fields={"class": None}),
        "E034: 'class.id' is needed by the noun 'enrollment', but training.ClassEnrollment has no such attribute, or it is left out. "
        '-> Name the attribute: fields = {"class": "…"}....',
    ),
    # A wrong path is not reported again as missing.
    (enrollments(fields={"class": "training_clas"}), "E032"),
    # An event that can happen needs its own fields, and one that can't needs none.
    (
        feedback(fields={"course": None, "class": "class_enrollment.training_class"}),
        "E034: 'course.id' is needed by course_feedback.created, but training.CourseFeedback has no such attribute, or it is left out.",
    ),
    (
        feedback(fields={"class": None}),
        "W047: Never emitted, because training.CourseFeedback has no 'class.id': class_feedback.created, "
        "class_feedback.updated, class_feedback.deleted.",
    ),
    # A required field may not be null.
    (
        lesson_enrollments,
        "E088: 'user.id' is required in payloads, but testapp.Lesson.learner.pk may be null. "
        '-> ...only = {"learner": sources.Not(None)}...',
        "E088",
        "W047",
    ),
    (lesson_enrollments(only={"learner": Not(None), "series": Not(None)}), "W047"),
    *(
        (
            lesson_enrollments(fields={"class": "host"}, only=written),
            f"E088: 'user.id' is required in payloads... -> Leave these rows out: only = {remedy}. Or make the column NOT NULL...",
            "E088: 'class.id' is required in payloads...",
            "W047",
        )
        for written, remedy in (
            ({"role": "learner"}, '{"role": "learner", "learner": sources.Not(None)}'),
            ({"learner": [1, None]}, '{"learner": [1]}'),
            ({"learner": Not(1)}, '{"learner": sources.Not([1, None])}'),
        )
    ),
    # Secrets in payloads
    *(
        (users(**declared), "W103: ...is read by the path 'password', which looks like a secret...")
        for declared in (
            {"fields": {"title": "password"}},
            {"custom": {"hash": "password"}},
        )
    ),
    # Fields that are null in every payload
    (
        leveled,
        "W092: Null in every payload, because training.LearningPath has no such attribute: 'start_at', 'end_at', "
        '\'course.name\'. -> Map them: fields = {"start_at": "…", "end_at": "…", "course.name": "…"}. None leaves a '
        "field out on purpose. manage.py webhooks_scaffold training.LearningPath guesses paths.",
    ),
    # The source of another model reads the end of a class, and is reported alone.
    ([classes(fields={"start_at": None, "end_at": "starts"}), enrollments], "E032"),
    # Each source is checked.
    ([unmapped, users(fields={"phone": "telephone"})], "E034", "E032"),
    # Fields of the host's own
    *(
        (users(custom=entry), f"E080: {text} -> {hint}")
        for entry, text, hint in (
            (
                {"Department": "department.name"},
                "custom has the name 'Department'.",
                'Use a-z, 0-9 and _ only, as in "cost_center"; no dots, no capitals.',
            ),
            (
                {"department": Custom(3)},
                "custom['department'] has the path 3, which is not text.",
                'Write text, such as "relation.attribute".',
            ),
            *(
                (
                    {"department": Custom("department.name", kind=kind)},
                    f"custom['department'] has the unknown kind {kind!r}.",
                    "Write one of id, ids, string, integer, number, boolean, datetime, fingerprint, json.",
                )
                for kind in ("text", "status")
            ),
            (
                {"department": Custom("department.name", privacy="secret")},
                "custom['department'] has the unknown privacy 'secret'.",
                "Write one of id, basic, personal.",
            ),
        )
    ),
    (users(custom={"department": 3}), "E030: custom['department'] is 3, not a path or a Custom."),
    (users(custom=["department"]), "E030: HostUserSource.custom is ['department']; make it a dictionary."),
    (
        users(custom={"department": "department.nome"}),
        "E032: custom['department'] is 'department.nome', but training.Department has no attribute 'nome'. -> Correct the "
        'path, which begins at training.User, or write None. Did you mean "name"?',
    ),
    (
        users(custom={"label": "get_full_name"}),
        "E081: custom['label'] has no kind, and the path 'get_full_name' from training.User leads to no column that has "
        'one. -> Name the kind: "label": Custom("get_full_name", kind="string")....',
    ),
]

SOUND = [
    classes,
    enrollments,
    users,
    own_user,
    classes(fields={"instructor": "primary_instructor"}),
    classes(fields={"session_times": "session_times", "session_times.start_at": "start_at"}),
    *(
        classes(fields={"name": path})
        for path in (
            "pk",
            "num_enroll",
            "get_absolute_url.x",
            "organization.parent.name",
            None,
        )
    ),
    users(fields={"disabled": Not("is_active"), "title": Constant("Dr."), "time_zone": First("time_zone_id", "city")}),
    classes(fields={"status": Constant("Scheduled")}),
    unmapped(fields={"status": Computed(by(1), reads={"name": "name"})}),
    # A fingerprint of a secret, and a secret that is not sent
    users(custom={"password_changed": Custom("password", kind="fingerprint")}),
    users(fields={"title": Computed(by("Dr."), reads={"hash": "password"})}),
    users(fields={"title": "email"}),
    # Fields of the host's own
    users(
        custom={
            "cost_center": "cost_center",
            "department": Custom("department.name", privacy="basic", doc="Department of the user."),
            "tree": Custom("managed_organizations", privacy=FieldPrivacy.ID),
            "label": Custom("get_full_name", kind="string"),
            "seniority": Custom(Computed(by(7), reads={"hired": "date_joined"}), kind=FieldKind.INTEGER),
        },
    ),
    users(
        custom={"cost_center": "cost_center", "department": "department.name"},
        rules=(Filled("custom.cost_center", "user.updated"), Filled("custom.department", "user.created")),
    ),
]

WITHOUT_NULLS = [
    users,
    # Left out on purpose, or made by a function, or of a reference that the model lacks
    assignments(fields={"subscription.name": None}),
    assignments(fields={"subscription.name": Computed()}),
    classes(fields={"instructor": None}),
]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[1][:60])
def test_a_mistake_is_reported_with_its_remedy(row):
    expect_of(*row)


@pytest.mark.parametrize("declared", SOUND)
def test_a_sound_mapping_is_passed_in_silence(declared, monkeypatch):
    monkeypatch.setattr(TrainingClass, "get_absolute_url", lambda self: "", raising=False)
    expect_of(declared)


@pytest.mark.parametrize("declared", WITHOUT_NULLS)
def test_fields_that_are_filled_elsewhere_or_not_at_all_are_no_nulls(declared):
    assert report(declared) == []


def test_rows_that_are_no_objects_of_the_noun_have_no_nulls():
    assert "W092" not in ids(report(Declared(ActivityProgressSource, assignments.model, {"assignment": "user"})))


def test_a_mistake_is_reported_of_its_source():
    assert str(only(report(users(custom={"department": 3})), "E030").obj) == "<HostUserSource of training.User>"


def test_only_attributes_that_a_path_can_follow_are_suggested():
    (message,) = report(classes(fields={"name": "enrollment"}))
    # A property and no relation to many.
    assert '"num_enroll"' in str(message.hint)
    assert '"enrollments"' not in str(message.hint)


def test_the_default_paths_of_the_apps_own_classes_may_be_missing():
    # `user_name` is `username` by default, and an organization has no such attribute.
    assert "E032" not in ids(report(users(Organization, owner="parent")))


def test_the_completion_of_an_assignment_follows_from_its_dates():
    needed = "'completion_status' is needed by course_assignment.expired, but training.CourseAssignment has no such attribute, or it is left out."
    messages = report(assignments(fields={"completion_status": None, "started_at": None}))
    assert ("tms_webhooks.E034", needed) in [(message.id, message.msg) for message in messages]


@pytest.mark.parametrize(
    "name, is_one",
    [
        ("password", True),
        ("api_tokens", True),
        ("apiKey", True),
        ("client_secret", True),
        ("public_key", False),
        ("tokenizer", False),
        ("passport", False),
    ],
)
def test_names_of_secrets(name, is_one):
    assert is_secret(name) is is_one


def nouns_without_source():
    return [(one.id, one.msg.partition("registered for ")[2]) for one in check_references()]


def test_before_production_each_object_in_a_payload_whose_noun_has_no_source_is_named():
    users.register()
    assert nouns_without_source() == [("tms_webhooks.W105", "['company', 'organization'].")]

    Declared(CompanySource, Company).register()
    assert nouns_without_source() == [("tms_webhooks.W105", "['organization'].")]

    Declared(OrganizationSource, Organization).register()
    assert nouns_without_source() == []
    assert check_references in GROUPS["deploy"]


def test_a_source_of_a_wrong_form_is_not_reported_for_what_it_shows():
    users(fields=["phone"]).register()
    assert nouns_without_source() == []


def test_the_hint_for_the_organization_model_is_that_each_row_owns_itself():
    wrong = only(report(Declared(CompanySource, Organization)), "E035")
    assert str(wrong.hint).endswith('These lead to an organization: owner = "pk".')


def test_an_organization_that_owns_itself_is_the_organization_of_its_events():
    declared = Declared(CompanySource, Organization, {"owner": "pk"})
    assert report(declared) == []

    (source,) = registry.all_sources()
    assert [source.path_of(f"organization.{name}") for name in ("id", "name")] == ["pk", "name"]


def test_only_an_object_that_others_refer_to_may_have_no_owner():
    assert report(Declared(CompanySource, Company, {"owner": None})) == []


def test_an_object_to_which_nobody_refers_has_an_owner():
    assert only(report(classes(owner=None)), "E030").msg == "owner is None, not a path."


# Fields of the host's own and the catalogue

BADGE = Noun("badge", "Badge", (*references.identity("the badge"), *references.organization("the organization")))


def test_two_sources_of_a_noun_may_add_different_fields():
    event_type = EventType("badge.issued", BADGE, "A badge was issued.")
    badges = Declared(
        Source,
        Company,
        {
            "noun": BADGE,
            "rules": (Created("badge.issued"),),
            "fields": {"id": "external_id"},
            "only": {"external_id": Not(None)},
        },
    )
    with temporary_type(event_type):
        badges(custom={"mail": "email", "firm": "name"}).register()
        custom = {"mail": Custom("name", privacy="personal"), "room": "primary_classroom.name"}
        badges(TrainingClass, custom=custom).register()
        assert list(check_sources()) == []
        assert [field.name for field in event_type.fields[-3:]] == ["custom.mail", "custom.firm", "custom.room"]

        expect_of(
            badges(User, custom={"mail": Custom("email", privacy="basic")}),
            "E083: custom['mail'] is string, basic here, but string, personal in another source of 'badge'.",
        )
