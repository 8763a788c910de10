"""Fields of the host's own extend the event types of their noun, as long as their source is registered."""

import pytest

from example_project.training.models import ActivityResult, CourseAssignment, User
from tests.catalogue import only_canonical, temporary_type
from tests.registration import temporarily
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind, FieldPrivacy, Noun, custom, references
from tms_webhooks.catalogue.schema import data_schema
from tms_webhooks.documents.events import to_markdown
from tms_webhooks.documents.schemas import event_schemas
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.filters.paths import event_paths
from tms_webhooks.sources import ActivityProgressSource, CourseAssignmentSource, Custom, UserSource, registry

UPDATED = catalogue.get("user.updated")


class Users(UserSource):
    custom = {
        "department": Custom("department.name", privacy="basic", doc="Department of the user.", sample="Sales"),
        "cost_center": "cost_center",
    }


@pytest.fixture
def users():
    with temporarily(Users, User):
        yield


def test_the_schema_and_the_sample_have_the_fields(users):
    properties = UPDATED.schema()["properties"]
    assert properties["data"]["properties"]["custom"] == {
        "type": ["object", "null"],
        "properties": {
            "department": {"type": ["string", "null"], "description": "Department of the user."},
            "cost_center": {"type": ["string", "null"]},
        },
    }
    assert properties["previous"]["properties"]["custom"]["properties"].keys() == {"department", "cost_center"}
    assert UPDATED.example()["data"]["custom"] == {"department": "Sales", "cost_center": "Example"}
    UPDATED.validate(UPDATED.example())


def test_privacy_is_personal_unless_the_host_names_another(users):
    privacy = {field.name: field.privacy for field in custom.fields_of("user")}
    assert privacy == {"custom.department": FieldPrivacy.BASIC, "custom.cost_center": FieldPrivacy.PERSONAL}


def test_documents_paths_and_the_reference_follow(users):
    assert "custom" in event_schemas([UPDATED])["UserEventData"]["properties"]
    assert event_paths(UPDATED)["data.custom.department"].kind is FieldKind.STRING
    assert event_paths(UPDATED)["changed"].allowed[-2:] == ("custom.department", "custom.cost_center")
    assert "- `custom.department`: string, basic. Department of the user." in to_markdown([UPDATED])


def test_they_go_with_their_source():
    with temporarily(Users, User):
        assert "custom" in UPDATED.example()["data"]
        assert "data.custom.department" in event_paths(UPDATED)
    assert "custom" not in UPDATED.example()["data"]
    assert "data.custom.department" not in event_paths(UPDATED)
    assert "custom" not in UPDATED.schema()["properties"]["data"]["properties"]


def test_a_subclass_adds_and_removes_entries_of_its_base():
    class Fewer(Users):
        custom = {"cost_center": None, "town": "city"}

    with temporarily(Fewer, User):
        assert [field.name for field in custom.fields_of("user")] == ["custom.department", "custom.town"]


@pytest.mark.parametrize(
    "path, kind",
    [
        ("cost_center", FieldKind.STRING),
        ("department", FieldKind.ID),
        ("department.name", FieldKind.STRING),
        ("pk", FieldKind.ID),
        ("disabled", FieldKind.BOOLEAN),
        ("date_joined", FieldKind.DATETIME),
        ("managed_organizations", FieldKind.IDS),
    ],
)
def test_the_kind_is_that_of_the_column(path, kind):
    class Source(UserSource):
        custom = {"value": path}

    with temporarily(Source, User) as source:
        assert source.declared.problems == ()
        assert [field.kind for field in custom.fields_of("user")] == [kind]


def test_the_progress_of_an_activity_has_the_fields_of_its_assignment(monkeypatch):
    class Assignments(CourseAssignmentSource):
        custom = {"paid_by": Custom("subscription.external_id", privacy="basic")}

    class Results(ActivityProgressSource):
        custom = {"room": Custom("activity.name", privacy="basic")}

    monkeypatch.setattr(registry, "_sources", {})
    with only_canonical():
        registry.register(CourseAssignment)(Assignments)
        registry.register(ActivityResult)(Results)
        (_, results) = registry.all_sources()
        assert [one.name for one in results.custom_fields] == ["room", "paid_by"]
        assert results.mapped["custom.paid_by"].path == "assignment.subscription.external_id"
        assert [one.name for one in custom.of_noun("course_assignment").values()] == ["paid_by", "room"]


# Nouns and event types of the host's own


CERTIFICATE = Noun(
    "certificate",
    "Certificate",
    (
        *references.identity("the certificate"),
        Field("valid_until", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When it ends."),
        Field("skills", FieldKind.JSON, FieldPrivacy.BASIC, doc="Skills."),
        Field(
            "examiners",
            FieldKind.OBJECTS,
            FieldPrivacy.ID,
            items=(Field("id", FieldKind.ID, FieldPrivacy.ID, required=True),),
            doc="Who examined.",
        ),
        *references.learner(),
        *references.organization("the learner's organization"),
    ),
)


def test_an_event_type_without_a_sample_gets_one_from_its_fields():
    event_type = EventType("certificate.issued", CERTIFICATE, "A certificate was issued.")
    example = event_type.example()
    event_type.validate(example)
    assert example["data"]["user"]["email"] == "alice.larsen@example.com"
    assert example["data"]["valid_until"] == "2026-11-24T15:04:05.000Z"
    assert example["data"]["examiners"] == [{"id": 1001}]


def test_any_json_is_valid_for_the_kind_json():
    schema = data_schema([Field("skills", FieldKind.JSON, FieldPrivacy.BASIC)])
    assert schema["properties"]["skills"] == {"type": ["object", "array", "string", "number", "boolean", "null"]}


@pytest.mark.parametrize(
    "name, title, fields, text",
    [
        (
            "Certificate",
            "Certificate",
            CERTIFICATE.fields,
            '"Certificate" is not the name of a noun. Use a-z, 0-9 and _ only.',
        ),
        ("certificate", 3, CERTIFICATE.fields, 'The title of the noun "certificate" is a int, not text.'),
        ("certificate", "Certificate", CERTIFICATE.fields[1:], 'The noun "certificate" has no field "id".'),
    ],
)
def test_a_wrong_noun_is_refused(name, title, fields, text):
    with pytest.raises(ConfigurationError, match=f"^{text}"):
        Noun(name, title, fields)


def test_an_event_type_of_the_hosts_own_has_a_known_noun_or_a_new_one():
    with temporary_type(EventType("user.promoted", catalogue.noun("user"), "A user was promoted.")) as promoted:
        promoted.validate(promoted.example())
    with pytest.raises(ConfigurationError, match='Unknown noun "usr". Did you mean "user"'):
        catalogue.noun("usr")
    again = Noun("user", "Account", CERTIFICATE.fields)
    with pytest.raises(
        ConfigurationError, match=r'user.created has another noun with this name. Use catalogue.noun\("user"\)'
    ):
        catalogue.register(EventType("user.promoted", again, "A user was promoted."))
