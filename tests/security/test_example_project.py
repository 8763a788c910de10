"""The example project's own pages and keys, which hosts copy: staff of one organization get nothing of another."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from example_project.training import factories
from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import ApiKey, CourseFeedback, Organization

PAGES = {model: page for model, page in admin.site._registry.items() if isinstance(page, ScopedAdmin)}
MADE = {factory._meta.model: factory for factory in vars(factories).values() if hasattr(factory, "_meta")}


@pytest.fixture
def ours():
    return factories.OrganizationFactory(name="Ours")


@pytest.fixture
def theirs():
    return factories.OrganizationFactory(name="Theirs")


@pytest.fixture
def mallory(ours):
    """Staff of one organization with every permission that there is."""
    user = factories.UserFactory(username="mallory", organization=ours, is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def browser(mallory):
    client = Client()
    client.force_login(mallory)
    return client


def url(model, page, *args):
    return reverse(f"admin:training_{model._meta.model_name}_{page}", args=args)


def row_of(model, organization):
    """Make a row of an organization."""
    if model is Organization:
        return organization
    if model is ApiKey:
        return ApiKey.objects.create_key(name="HR", organization=organization)[0]
    if model._meta.model_name == "activityresult":
        assignment = row_of(MADE_BY_NAME["courseassignment"], organization)
        activity = factories.ActivityFactory(course=assignment.course)
        return model.objects.create(assignment=assignment, activity=activity)
    if model is CourseFeedback:
        course = factories.CourseFactory(organization=organization)
        return factories.CourseFeedbackFactory(course_assignment__course=course)
    path = PAGES[model].organization_path
    return MADE[model](**{path: organization}) if path != "pk" else organization


MADE_BY_NAME = {model._meta.model_name: model for model in PAGES}


def test_every_page_of_the_project_is_scoped_or_for_superusers(browser):
    for model in admin.site._registry:
        if model in PAGES or model._meta.app_label == "tms_webhooks":
            continue
        listed = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert browser.get(listed).status_code == 403, model


@pytest.mark.parametrize("model", PAGES, ids=lambda model: model.__name__)
def test_no_page_shows_changes_or_deletes_a_row_of_another_organization(browser, ours, theirs, model):
    own, other = row_of(model, ours), row_of(model, theirs)

    listed = browser.get(url(model, "changelist"))

    keys = {row.pk for row in listed.context["cl"].result_list}
    assert own.pk in keys
    assert other.pk not in keys
    assert "Theirs" not in listed.content.decode()
    for page in ("change", "delete"):
        assert browser.get(url(model, page, other.pk)).status_code == 302
        assert browser.post(url(model, page, other.pk), {"post": "yes"}).status_code == 302
    assert type(other).objects.filter(pk=other.pk).exists()


@pytest.mark.parametrize(
    "model", [model for model in PAGES if "organization" in {f.name for f in model._meta.fields}], ids=str
)
def test_no_form_takes_another_organization(browser, theirs, model):
    page = browser.get(url(model, "add"))
    form = page.context["adminform"].form

    refused = browser.post(url(model, "add"), {"name": "Mine now", "organization": theirs.pk})

    assert theirs not in form.fields["organization"].queryset
    errors = refused.context["adminform"].form.errors["organization"]
    assert errors == ["Select a valid choice. That choice is not one of the available choices."]
