"""The objects of an organization in the form of a webhook: found by name for filters, and previewed."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseFactory,
    OrganizationFactory,
    TrainingClassFactory,
)
from example_project.training.models import Course
from tests.integration.admin.pages import filters_of, form_of, text_of, url
from tests.integration.capture.conftest import listening
from tests.integration.capture.lessons import BARE, LessonsOfSeries
from tests.integration.delivery.rows import subscribed
from tests.testapp.models import Lesson, Series
from tms_webhooks import sources
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook
from tms_webhooks.sources.objects import FILTERED_BY_ID, MOST_FOUND, ids_of_others


class OwnersByFunction(sources.ClassSource):
    owner = [lambda lesson: [lesson.host]]
    fields = BARE


def objects_at(client, **query):
    """Search as the form's script does; return the ids and the labels."""
    response = client.get(reverse("admin:tms_webhooks_webhook_objects"), query)
    assert response.status_code == 200
    return [(one["id"], one["label"]) for one in response.json()["objects"]]


@pytest.fixture
def training_class():
    return TrainingClassFactory(name="Azure in November", external_id="CLS-7")


def test_a_class_is_found_by_a_part_of_its_name_its_external_id_and_its_id(operator, training_class):
    TrainingClassFactory(organization=training_class.organization, name="Kubernetes", external_id="K")
    query = {"noun": "class", "organization": training_class.organization_id}
    expected = str(training_class.pk)

    for text in ("azure in", "cls-7", expected):
        found = objects_at(operator, **query, q=text)
        assert (found[0][0], found[0][1].startswith("Azure in November · CLS-7")) == (expected, True)
    assert objects_at(operator, **query, q="nothing like it") == []
    assert len(objects_at(operator, **query)) == 2


def test_a_filter_is_offered_what_branches_have_and_no_object_refers_to(operator, training_class):
    owner = training_class.organization
    below = OrganizationFactory(parent=owner, name="West")
    # An external id must not contain the other one's key.
    Course.objects.update(external_id="CRS-A")
    CourseFactory(organization=below, name="Unused", external_id="CRS")
    other = CourseFactory(name="Unused elsewhere")
    query = {"noun": "course", "organization": owner.pk, "q": "unused"}

    assert objects_at(operator, **query) == []
    ((_key, label),) = objects_at(operator, **query, branches=1)
    assert label.startswith("Unused · ")
    assert objects_at(operator, **{**query, "q": other.pk}, branches=1) == []
    organizations = {**query, "noun": "organization", "branches": 1}
    assert objects_at(operator, **{**organizations, "q": "west"}) == [(str(below.pk), "West")]
    OrganizationFactory.create_batch(MOST_FOUND, parent=owner)
    assert len(objects_at(operator, **{**organizations, "q": ""})) == MOST_FOUND


def test_a_filter_has_names_of_objects_that_the_user_may_see_and_ids_of_others(alice, operator, training_class):
    webhook = subscribed(organization=alice.organization, events=["class.*"])
    mine, seen = (
        TrainingClassFactory(organization=alice.organization, name="Mine"),
        TrainingClassFactory(name="Of a learner"),
    )
    ClassEnrollmentFactory(training_class=seen, user__organization=alice.organization)
    ids = [mine.pk, seen.pk, training_class.pk]
    webhook.subscriptions.update(
        filters={"class": ids, "organization": [alice.organization.pk, training_class.organization_id]}
    )
    address = url(Webhook, "change", webhook.public_id)

    page = text_of(alice.get(address))
    assert f"Class: Mine or Of a learner or {training_class.pk} " in page
    assert f"Organization: ours or {training_class.organization_id} " in page
    opened = alice.get(f"{address}?filters={webhook.subscriptions.get().public_id}").content.decode()
    assert "Of a learner" in opened
    for hidden in (training_class.name, training_class.organization.name):
        assert hidden not in page + opened
    assert f"Class: Mine or Of a learner or {training_class.name} " in text_of(operator.get(address))


def test_a_name_needs_the_right_to_manage_or_to_view_payloads(operator, training_class, deny):
    webhook = subscribed(organization=training_class.organization, events=["class.*"])
    webhook.subscriptions.update(filters={"class": [training_class.pk]})
    address = url(Webhook, "change", webhook.public_id)

    deny(Action.MANAGE)
    assert training_class.name in text_of(operator.get(address))
    deny(Action.MANAGE, Action.VIEW_PAYLOAD)
    assert training_class.name not in text_of(operator.get(address))


def test_objects_of_other_organizations_are_not_offered(alice, training_class):
    address = reverse("admin:tms_webhooks_webhook_objects")
    query = {"noun": "class", "q": ""}
    mine = TrainingClassFactory(organization=alice.organization)

    assert alice.get(address, {**query, "organization": training_class.organization_id}).status_code == 403
    assert alice.get(address, {**query, "organization": "nonsense"}).status_code == 403
    assert [key for key, _label in objects_at(alice, **query, organization=alice.organization.pk)] == [str(mine.pk)]


def test_objects_with_names_of_people_need_the_permission_to_view_payloads(operator, training_class, deny):
    enrollment = ClassEnrollmentFactory(training_class=training_class)
    query = {"noun": "enrollment", "organization": training_class.organization_id, "q": enrollment.user.last_name}
    assert objects_at(operator, **query)[0][0] == str(enrollment.pk)

    deny(Action.VIEW_PAYLOAD)

    assert operator.get(reverse("admin:tms_webhooks_webhook_objects"), query).status_code == 403
    assert objects_at(operator, **{**query, "noun": "class", "q": ""})


@pytest.mark.parametrize("may_view_events", [False, True])
def test_staff_find_and_preview_objects_of_people_with_the_permission_to_view_events(staff, may_view_events):
    enrollment = ClassEnrollmentFactory()
    owner = enrollment.training_class.organization
    client = staff("add_webhook", "view_webhook", *["view_event"] * may_view_events)
    query = {"noun": "enrollment", "organization": owner.pk, "q": enrollment.user.last_name}
    form = form_of(organization=owner.pk, events=["enrollment.enrolled"], preview_subject=enrollment.pk)

    found = client.get(reverse("admin:tms_webhooks_webhook_objects"), query)
    preview = client.post(reverse("admin:tms_webhooks_webhook_preview"), form)

    assert found.status_code == (200 if may_view_events else 403)
    assert (enrollment.user.last_name in preview.content.decode()) is may_view_events
    assert ("You may not view payloads of this organization." in text_of(preview)) is not may_view_events


def test_objects_and_their_previews_need_the_right_to_view(operator, training_class, deny):
    deny(Action.VIEW)
    owner = training_class.organization_id

    for noun in ("class", "enrollment"):
        query = {"noun": noun, "organization": owner, "q": ""}
        assert operator.get(reverse("admin:tms_webhooks_webhook_objects"), query).status_code == 403
    data = form_of(url="https://receiver.example.com/", organization=owner, preview_subject=training_class.pk)
    preview = operator.post(reverse("admin:tms_webhooks_webhook_preview"), {**data, "preview_type": "class.created"})
    assert "You may not view payloads of this organization." in text_of(preview)
    assert training_class.name not in text_of(preview)


def test_ids_that_no_object_has_are_warned_of(alice, training_class):
    """The warning does not say which ids of other organizations exist. A stored name is saved unchanged."""
    webhook = subscribed(organization=alice.organization, events=["class.*"])
    stored = webhook.subscriptions.get()
    webhook.subscriptions.update(filters={"course": ["Azure"]})
    ids, theirs = [str(training_class.pk), "987654"], str(training_class.organization_id)
    mine = TrainingClassFactory(organization=alice.organization)
    values = {"course": "Azure", "class": f"{', '.join(ids)}, {mine.pk}", "organization": theirs}
    form = form_of(webhook, **filters_of(stored.public_id, **values))

    text = text_of(alice.post(url(Webhook, "change", webhook.public_id), form, follow=True))

    for label, unknown in {"Course": "Azure", "Class": ", ".join(ids), "Organization": theirs}.items():
        assert f"The filter {label} has ids that no object of the organization has: {unknown}. Check them." in text
    assert webhook.subscriptions.get().filters["course"] == ["Azure"]


def test_objects_with_several_owners_are_offered_to_each_and_other_ids_are_named(operator):
    first, second, other = (OrganizationFactory() for _number in range(3))
    shared, theirs = Series.objects.create(), Series.objects.create()
    shared.organizations.set([first, second])
    theirs.organizations.set([other])
    with listening(LessonsOfSeries, Lesson):
        lesson = Lesson.objects.create(title="Algebra for two", series=shared)
        hidden = Lesson.objects.create(title="Algebra elsewhere", series=theirs)
        ids = [lesson.pk, hidden.pk, 987_654, "a b"]

        for owners in ([first.pk], [second.pk], [first.pk, second.pk]):
            assert ids_of_others("class", ids, organizations=owners) == [str(hidden.pk), "987654", "a b"]
            query = {"noun": "class", "organization": owners[0], "q": "algebra"}
            assert objects_at(operator, **query) == [(str(lesson.pk), f"Algebra for two · {lesson.pk}")]


def test_ids_that_no_object_can_have_are_named_whatever_finds_the_owners():
    organization = OrganizationFactory()
    with listening(OwnersByFunction, Lesson):
        found = ids_of_others("class", [987_654, "not-a-uuid"], organizations=[organization.pk])

    assert found == ["not-a-uuid"]


def test_many_ids_take_as_many_queries_as_one(training_class, django_assert_num_queries):
    owner = [training_class.organization_id]
    with CaptureQueriesContext(connection) as one:
        assert ids_of_others("class", [900_000], organizations=owner) == ["900000"]

    many = [training_class.pk, *range(900_000, 900_300), "no number", 10**30]
    with django_assert_num_queries(len(one)):
        assert ids_of_others("class", many, organizations=owner) == [str(key) for key in many[1:]]


def test_an_id_that_does_not_exist_is_not_searched_in_the_objects_that_could_refer_to_it(operator):
    webhook = subscribed(events=["class.*"])
    address = url(Webhook, "change", webhook.public_id)
    operator.get(address)
    with CaptureQueriesContext(connection) as without:
        operator.get(address)
    webhook.subscriptions.update(filters={name: [987_654] for name in FILTERED_BY_ID})

    with CaptureQueriesContext(connection) as captured:
        page = text_of(operator.get(address))

    assert "Class: 987654" in page
    assert len(captured) - len(without) <= 2 * len(FILTERED_BY_ID)


# The preview


def previewed(client, organization, subject, **values):
    form = form_of(
        organization=organization.pk,
        preview_subject=str(subject),
        events=["class.cancelled"],
        **values,
    )
    return client.post(reverse("admin:tms_webhooks_webhook_preview"), form)


def test_the_preview_has_the_values_of_a_real_object_and_names_empty_tokens(operator, training_class):
    training_class.description = ""
    training_class.save()
    content = '{"class": {data.name}, "about": {data.description}}'

    response = previewed(operator, training_class.organization, training_class.pk, format="custom", content=content)

    assert '"class": "Azure in November"' in response.context["preview"].body
    assert "Empty in this event: {data.description}" in text_of(response)


@pytest.mark.parametrize("subject", ["", "existing"])
def test_the_preview_tells_a_misspelled_token_from_an_empty_one(operator, training_class, subject):
    content = '{"class": {data.nam}, "about": {data.name}}'
    subject = subject and training_class.pk

    response = previewed(operator, training_class.organization, subject, format="custom", content=content)

    assert "Not a field of this event: {data.nam}" in text_of(response)
    assert "Empty in this event" not in text_of(response)


def test_the_preview_says_that_an_object_does_not_exist_or_belongs_to_others(operator, training_class):
    other = TrainingClassFactory()

    for key in (987654, "nonsense", other.pk):
        preview = previewed(operator, training_class.organization, key).context["preview"]
        assert preview.problem.startswith("The webhook's organizations have no class with this id.")
        assert preview.body == ""


def test_the_preview_of_an_object_needs_the_permission_to_view_payloads(operator, training_class, deny):
    deny(Action.VIEW_PAYLOAD)

    response = previewed(operator, training_class.organization, training_class.pk)

    assert response.context["preview"].problem == "You may not view payloads of this organization."
    assert "Azure in November" not in response.content.decode()
