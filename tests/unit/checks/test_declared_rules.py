"""The rest of a source: the form of its attributes, owners, selected rows, statuses, rules and deadlines, other models."""

import pytest
from django.db import models
from django.db.models import F

from example_project.training.models import (
    ActivityResult,
    CourseAssignment,
    Organization,
    Role,
    TrainingClass,
    User,
    Voucher,
)
from tests.integration.capture.workshops import WORKSHOP
from tests.testapp.models import (
    DatedAssignment,
    Lesson,
    OnsiteWorkshop,
    PastWorkshop,
    Plaque,
    Talk,
    Ticket,
    Workshop,
)
from tests.unit.checks.conftest import (
    Declared,
    assignments,
    classes,
    enrollments,
    expect,
    expect_of,
    lessons,
    paths_as_classes,
    report,
    users,
)
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.choices import ClassStatus
from tms_webhooks.sources import (
    ActivityProgressSource,
    Computed,
    ComputedLearningPathSource,
    Constant,
    Created,
    Custom,
    EnrollmentSource,
    Entered,
    Filled,
    First,
    Not,
    Source,
    VoucherSource,
    registry,
)

pytestmark = pytest.mark.usefixtures("no_sources")

vouchers = Declared(VoucherSource, Voucher, {"fields": {"class": "redeemed_class", "user": "redeemed_by"}})
activities = Declared(ActivityProgressSource, ActivityResult)
user_activities = Declared(ActivityProgressSource, User, {"assignment": "manager", "owner": "organization"})
computed_paths = Declared(
    ComputedLearningPathSource,
    CourseAssignment,
    {"path_model": "training.LearningPath", "fields": {"subscription.name": "subscription.profile.name"}},
)
dated = Declared(
    assignments.base,
    DatedAssignment,
    {
        "fields": {
            "assignment_status": "state",
            "started_at": "started_on",
            "completed_at": "completed_on",
            "expires_at": "expires_on",
        }
    },
)
LEVELS = {"beginner": "Tentative", "intermediate": 0, "advanced": ClassStatus.COMPLETED, "expert": "guaranteed-to-run"}


class OfWorkshops(Source):
    noun = WORKSHOP


workshops = Declared(OfWorkshops, Workshop)


def helper(self, *_values):
    """Do nothing."""


def no_owners(one):
    return []


MISTAKES = [
    # Forms
    *(
        (classes(**{name: value}), f"E030: {text}")
        for name, value, text in (
            ("noun", "class", "noun is 'class', not a Noun."),
            ("rules", Created("class.updated"), "rules is Created(event='class.updated'), not a tuple of rules."),
            ("owner", None, "owner is None, not a path."),
            ("owner", [3], "owner is [3], not a path."),
            ("reconcile", "daily", "reconcile is 'daily', not True or False."),
            ("fields", ["status"], "HostClassSource.fields is ['status']; make it a dictionary."),
            ("fields", {"status": 3}, "fields['status'] is 3, not a path."),
            ("statuses", {"status": [1, 2]}, "statuses['status'] is [1, 2], not a dictionary."),
            ("only", ["role"], "only is ['role'], not a dictionary with text as keys."),
            ("time_zone", 7, "time_zone is 7, not a path."),
        )
    ),
    # Owners
    *(
        (
            classes(owner=path),
            f"E035: owner is {path!r}, but {problem}. -> ...{meant}",
        )
        for path, problem, meant in (
            (
                "organisation",
                "training.TrainingClass has no attribute 'organisation'",
                ' Did you mean "organization"?...',
            ),
            ("course", "it leads to training.Course", "..."),
            ("pk", "it leads to training.TrainingClass", "..."),
            (
                "buyer",
                "training.TrainingClass has no attribute 'buyer'",
                ' These lead to an organization: owner = "organization" or owner = "course.organization" or '
                'owner = "company.organization".',
            ),
        )
    ),
    *(
        (
            enrollments(learner=path),
            f"E035: learner is {path!r}, but {problem}. -> ...{lead}",
        )
        for path, problem, lead in (
            (
                "learner.organization",
                "training.ClassEnrollment has no attribute 'learner'",
                'or write None. These lead to an organization: learner = "user.organization" or learner = "training_class.organization" or learner = '
                '"classroom.organization".',
            ),
        )
    ),
    *(
        (lessons(owner=owner), f"E035: {problem}.")
        for owner, problem in (
            ("labels", "owner is 'labels', but it leads to testapp.Label"),
            (
                ["owner"],
                "owner[0] is 'owner', but testapp.Lesson has no attribute 'owner'. -> ...Did you mean \"owners\"?...",
            ),
            # Of several paths, a list among them could change without an event.
            (["host", "owners"], "owner[1] is 'owners', but testapp.Lesson has many objects in 'owners'"),
        )
    ),
    (
        lessons(owner=First("host", "deputies")),
        "E032: owner is 'deputies', but testapp.Lesson has no attribute 'deputies'. -> ...Did you mean \"deputy\"?...",
    ),
    *(
        (
            assignments(owner=[no_owners], owned_by_learner=owned),
            "E086: ...but objects of the noun 'course_assignment' belong to one: ... -> ...Or write deadline = None...",
        )
        for owned in (True, False)
    ),
    # Selected rows, and what functions read
    *(
        (lessons(fields={"status": Computed(function, reads={"one": "words"})}), f"E085: fields['status'] reads {text}")
        for function in (no_owners, "title")
        for text in ("'one', which is 'words', but testapp.Lesson has no attribute 'words'.",)
    ),
    (lessons(only={"words": "x"}), "E085: ...testapp.Lesson has no attribute 'words'..."),
    # Statuses
    (
        classes(statuses={"statuss": {}}),
        "E031: statuses['statuss'] is not one of the statuses of the noun 'class'. "
        '-> Write one of status, delivery_type. Did you mean "status"?',
    ),
    (users(statuses={"disabled": {1: True}}), "E031: ... -> Remove it."),
    *(
        (
            paths_as_classes(statuses={"status": {**LEVELS, "beginner": meaning}}),
            f"E041: statuses['status']['beginner'] is {meaning!r}, which is not a ClassStatus. "
            "-> Write one of 0 SCHEDULED, 1 GUARANTEED_TO_RUN, 2 CANCELLED, ...",
        )
        for meaning in (8, "Postponed")
    ),
    (
        paths_as_classes,
        "E042: 'audience_level' may be 'beginner', 'intermediate', 'advanced', but `statuses` has no matching ClassStatus. "
        '-> Write statuses = {"status": {"beginner": "?", "intermediate": "?", "advanced": "?"}}, with a status for each "?": '
        "status: 0 SCHEDULED, ...manage.py webhooks_scaffold training.LearningPath guesses them.",
    ),
    # The values of all statuses are in one message.
    (
        enrollments(
            fields={
                "status": "training_class.confirmation_status_id",
                "completion_status": "enrollment_status_id",
            },
            rules=(),
        ),
        "E042: 'training_class.confirmation_status_id' may be 1, 2, 3, 4, 5, 6, 7, but `statuses` has no matching "
        "EnrollmentStatus. 'enrollment_status_id' may be 60, but `statuses` has no matching CompletionStatus. "
        '-> ..."completion_status": {60: "?"}...',
    ),
    # The entries that are written are kept.
    (
        classes(statuses={"status": {0: 4, 1: 1}}),
        'E042: ... -> Write statuses = {"status": {0: 4, 1: 1, 2: "?", 3: "?", 4: "?", 5: "?", 6: "?", 7: "?"}}, with...',
    ),
    # The names of events
    (
        classes(rules=(Created("class.canceled"),)),
        "E043: A rule names the event 'class.canceled', which is no event of the noun 'class' in the catalogue. "
        '-> Correct the name, or register an event type with this name for the noun. Did you mean "class.cancelled"...',
    ),
    (
        classes(rules=(Created("user.created"),)),
        "E043: A rule names the event 'user.created', which is no event of the noun 'class' in the catalogue.",
    ),
    # Watched fields
    (
        vouchers(rules=(Filled("redeemed", "voucher.redeemed"),)),
        "E045: A rule watches 'redeemed', which is not a field of the noun 'voucher'. -> ...Did you mean \"redeemed_at\"?",
    ),
    *(
        (
            vouchers(fields={"redeemed_at": path}),
            f"E037: A rule watches 'redeemed_at', which is read by the path {path!r}: a change of it does not change a row of "
            "training.Voucher, and can't be detected.",
        )
        for path in ("redeemed_class.start_at", "is_redeemed")
    ),
    (
        assignments(fields={"expires_at": "subscription.expires_at"}),
        "E037: A rule watches 'expires_at', which is read by the path 'subscription.expires_at'...",
    ),
    # Events that never happen
    (
        Declared(enrollments.base, enrollments.model, {"fields": {"status": "enrollment_status_id"}}),
        "W047: Never emitted, because training.ClassEnrollment has no 'completion_status': enrollment.attending, "
        "enrollment.completed, enrollment.incomplete, enrollment.no_show, enrollment.failed. -> Map it: fields = "
        '{"completion_status": "…"}; or leave it out on purpose: fields = {"completion_status": None}.',
    ),
    (enrollments(fields={"completion_status": "completion_status"}), "E032"),
    # Time zones
    (
        dated,
        "W039: testapp.DatedAssignment.expires_on is a date without a time: it is over at the end of the day in TIME_ZONE "
        "(UTC), wherever the organization is. -> ...TMS_WEBHOOKS['ORGANIZATION_FIELDS'] = {'time_zone': '…'}...",
    ),
    (
        assignments(time_zone="user.organization.timezone_id"),
        "E032: time_zone is 'user.organization.timezone_id', but training.Organization has no attribute 'timezone_id'. "
        '-> ...Did you mean "time_zone_id"?',
    ),
    (
        computed_paths(fields={"course": None}),
        "E034: 'course.id' is needed by the noun 'learning_path', but training.CourseAssignment has no such attribute, or it "
        "is left out.",
    ),
    # Misspelled attributes
    *(
        (
            classes(**{name: value}),
            f"W089: HostClassSource has the attribute {name!r}, which sources do not read. -> Correct the name. If it is a "
            f'helper of your own, give it another name. Did you mean "{meant}"?',
        )
        for name, value, meant in (
            ("reconcil", True, "reconcile"),
            ("onyl", {"enabled": True}, "only"),
            ("status", {"status": {"open": 0}}, "statuses"),
            ("ownr", helper, "owner"),
        )
    ),
    (
        [workshops, workshops(Talk)],
        "W059: testapp.Talk and testapp.Workshop both have the noun 'workshop'...",
    ),
    (
        [workshops, workshops(Talk, fields={"id": None})],
        "E034: 'id' is needed by the noun 'workshop', but testapp.Talk has no such attribute, or it is left out.",
    ),
]

SOUND = [
    # Owners
    *(
        classes(owner=path)
        for path in ("organization", "organization_id", "company.organization", "organization.parent", "proprietor")
    ),
    *(lessons(owner=owner) for owner in (lambda self, lesson: lesson.host, [no_owners], ["host", "deputy"], ["host"])),
    assignments(owner="proprietor"),
    users(
        Organization,
        fields={"organization.id": "pk", "organization.external_id": "external_id", "user_name": None},
        rules=(),
    ),
    *(enrollments(learner=path) for path in (None, "user.organization", "user.company.organization")),
    # Computed values, and selected rows
    Declared(
        lessons.base,
        Lesson,
        {
            "owner": "series.organizations",
            "fields": {
                "status": Constant("Scheduled"),
                "name": "title",
                "enabled": Not("called_off"),
                "description": First("series.kind", "role"),
                "external_id": Computed(no_owners, reads={"one": "labels.word"}),
            },
            "only": {"labels.word": ["public", None], "learner": Not(None)},
        },
    ),
    # Statuses
    enrollments(fields={"status": Constant(60)}),
    paths_as_classes(statuses={"status": LEVELS}),
    *(classes(fields={"status": path}, rules=()) for path in ("pk", "course.pk", "num_open", "max_students")),
    # Events
    vouchers(
        rules=(Filled("custom.redeemed", "voucher.redeemed"),),
        custom={"redeemed": Custom(Computed(no_owners, reads={"one": "redeemed_at"}), kind="datetime")},
    ),
    # Fields that are left out on purpose, and events that are left out
    *(assignments(fields={name: None}) for name in ("expires_at", "assignment_status")),
    assignments(fields={"started_at": None, "completion_status": "completion_status"}),
    Declared(
        enrollments.base,
        enrollments.model,
        {
            "fields": {"status": "enrollment_status_id"},
            "rules": (Entered("status", {60: "enrollment.enrolled"}),),
        },
    ),
    [users(rules=(Created("user.created"),)), users(rules=(Entered("disabled", {True: "user.deactivated"}),))],
    # A date with a time zone, and a moment
    *(dated(time_zone=path) for path in ("user.organization.time_zone_id", "user.time_zone_id")),
    assignments,
    # Other models
    computed_paths,
    [assignments, activities],
    # Rows that are objects of one source each, and keys that two models can't both have
    workshops,
    workshops(OnsiteWorkshop),
    workshops(PastWorkshop),
    [workshops, workshops(OnsiteWorkshop, rules=())],
    *(
        [workshops, workshops(model, fields=fields, rules=())]
        for model, fields in ((Ticket, {}), (Plaque, {}), (Talk, {"id": "title"}))
    ),
    # Helpers of the host's, and attributes of a source
    *(
        classes(**{name: value})
        for name, value in (
            ("_rule", ()),
            ("cutoff", 3),
            ("organization_of", helper),
            ("status", helper),
            ("rule", property(helper)),
            ("field", classmethod(helper)),
            *((name, vars(Source).get(name)) for name in ("events_for", "reconcile", "only")),
        )
    ),
]


@pytest.fixture(autouse=True)
def _properties(monkeypatch):
    """Give models of the example project properties, which a path may name."""
    for model, name, function in (
        (TrainingClass, "proprietor", lambda self: self.organization),
        (CourseAssignment, "proprietor", lambda self: self.user.organization),
        (Voucher, "is_redeemed", lambda self: self.redeemed_at),
    ):
        monkeypatch.setattr(model, name, property(function), raising=False)


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[1][:60])
def test_a_mistake_is_reported_with_its_remedy(row):
    expect_of(*row)


@pytest.mark.parametrize("declared", SOUND)
def test_a_sound_declaration_is_passed_in_silence(declared):
    expect_of(declared)


def test_a_host_without_sources_is_reported(no_sources):
    expect(check_sources(), "I053: No model is registered as a source: only `emit` creates events.")


@pytest.mark.parametrize("wrong", [{"fields": ["status"]}, {"noun": "class"}, {"owner": 3}])
def test_a_source_of_a_wrong_form_stops_no_check_of_the_others(wrong):
    expect_of([users(fields={"nonsense": "nowhere"}), classes(**wrong), enrollments], "E031", "E030")


@pytest.mark.parametrize(
    "declared",
    [lessons(fields={"status": Computed(no_owners, reads={"one": "words"})}), lessons(only={"words": "x"})],
    ids=["reads", "only"],
)
def test_a_property_is_not_known_before_a_change(declared, monkeypatch):
    monkeypatch.setattr(Lesson, "words", property(lambda self: "x"), raising=False)
    expect_of(declared, "E085: ... is 'words', but it is no column.")


def test_where_no_foreign_keys_lead_to_an_organization_the_hint_lists_no_path():
    messages = report(users(Role, owner="owner", fields={"user_name": "name"}))
    (message,) = [one for one in messages if one.id == "tms_webhooks.E035"]
    assert "These lead" not in str(message.hint)


def test_where_there_is_no_organization_model_another_check_reports_it(settings):
    settings.TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organisation"
    assert report(users(owner="company")) == []


def test_a_date_is_complete_with_the_time_zone_of_all_organizations(settings):
    settings.TMS_WEBHOOKS = {"ORGANIZATION_FIELDS": {"time_zone": "time_zone_id"}}
    expect_of(dated)


# The index of a deadline

NO_INDEX = (
    "W049: training.CourseAssignment.expires_at has no index: each expiry scan reads the whole table. "
    '-> Add models.Index(fields=["expires_at"], name="…") to Meta.indexes, and a migration.'
)


@pytest.mark.parametrize(
    "indexes, expected",
    [
        ([], [NO_INDEX]),
        ([models.Index(fields=["-expires_at", "user"], name="by_date")], []),
        ([models.Index(F("expires_at").desc(nulls_last=True), name="by_date")], []),
    ],
)
def test_an_index_has_to_begin_with_the_date(indexes, expected, monkeypatch):
    monkeypatch.setattr(CourseAssignment._meta, "indexes", indexes)
    expect_of(assignments, *expected)


def test_an_index_of_the_column_itself_is_enough(monkeypatch):
    monkeypatch.setattr(CourseAssignment._meta, "indexes", [])
    monkeypatch.setattr(CourseAssignment._meta.get_field("expires_at"), "db_index", True)
    expect_of(assignments)


# The assignment of an activity


@pytest.mark.parametrize(
    "declared, expected",
    [
        (
            [activities],
            [
                "E057: assignment is 'assignment', which leads to no model with a CourseAssignmentSource. "
                "-> ...register their model with a CourseAssignmentSource."
            ],
        ),
        # Two that read each other
        ([user_activities, activities(CourseAssignment, assignment="user")], ["E057", "E057"]),
        (
            [assignments, activities(assignment="score")],
            ["E057"],
        ),
    ],
)
def test_an_activity_has_to_lead_to_a_registered_assignment(declared, expected):
    messages = report(*declared)
    expect([message for message in messages if message.id == "tms_webhooks.E057"], *expected)


# Misspelled attributes


def test_an_attribute_that_one_class_of_sources_has_is_known_there():
    messages = report(activities(CourseAssignment, assignment="user", asignment="user"))
    expect([one for one in messages if one.id == "tms_webhooks.W089"], 'W089: ... -> ...Did you mean "assignment"?')
    assert report(classes(asignment="user"))[-1].id != "tms_webhooks.W089"


def test_an_attribute_of_a_mixin_is_reported_for_the_mixin_only():
    class Mixin:
        reconcil = True

    class Base(Mixin, EnrollmentSource):
        reconcil = False

    expect_of(
        Declared(Base, enrollments.model, enrollments.attributes),
        "W089: Mixin has the attribute 'reconcil', which sources do not read.",
    )


def test_a_model_and_one_that_extends_it_have_one_source():
    rules = (Created("workshop.created"),)
    for model in (Workshop, OnsiteWorkshop):
        workshops(model, rules=rules).register()

    (problem,) = [one for one in check_sources() if one.id == "tms_webhooks.E104"]
    assert problem.msg.startswith("testapp.OnsiteWorkshop and testapp.Workshop share rows")


@pytest.mark.parametrize("model", [OnsiteWorkshop, PastWorkshop])
def test_a_source_captures_the_changes_by_the_model_that_its_own_extends(model):
    source = workshops(model).register()

    assert registry.sources_of(Workshop) == registry.sources_of(model) == registry.all_sources() == [source]
