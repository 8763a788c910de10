"""What docs/reference/api.md and rights.md say of the API is what the API does."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from example_project.training.factories import OrganizationFactory, UserFactory
from example_project.training.models import Organization
from tms_webhooks.api.problems import PROBLEM_TYPES
from tms_webhooks.api.urls import router
from tms_webhooks.choices import Action

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGE, RIGHTS = ((REFERENCE / f"{name}.md").read_text() for name in ("api", "rights"))
LISTS = {"webhook": "webhooks/", "delivery": "deliveries/", "job": "jobs/"}


def rows_below(heading, page=PAGE):
    """Return the cells of the table that follows a line, without its head."""
    lines = page.partition(heading)[2].splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table[2:]


def test_every_problem_type_is_described():
    listed = [line for line in PAGE.splitlines() if line.startswith("- `urn:")]
    assert listed == [f"- `{one.uri}` ({one.status}): {one.meaning}" for one in PROBLEM_TYPES.values()]


def test_every_action_of_the_policy_is_described():
    assert [row[0] for row in rows_below("# Who may do what", RIGHTS)] == [f"`{action.value}`" for action in Action]


@pytest.mark.django_db
def test_the_example_of_a_policy_does_what_it_says():
    (code,) = re.findall(r"```python\n(from tms_webhooks.access.*?)```", RIGHTS, re.DOTALL)
    namespace = {}
    exec(
        code.replace("from training.models", f"from {Organization.__module__.partition('.models')[0]}.models"),
        namespace,
    )
    policy, user = namespace["OwnOrganization"](), UserFactory()
    OrganizationFactory()
    request = SimpleNamespace(user=user)

    assert [*policy.organizations(request, Action.MANAGE)] == [user.organization]
    assert [*policy.organizations(request, Action.REVEAL_SECRET)] == []


@pytest.mark.parametrize("name", LISTS)
def test_every_filter_of_a_list_is_described(name):
    (viewset,) = [viewset for _prefix, viewset, basename in router.registry if basename == name]
    filters = viewset.list_filters
    ((_list, named),) = [row for row in rows_below("## Lists") if row[0] == f"`{LISTS[name]}`"]

    assert set(re.findall(r"`(\w+)`", named)) == set(filters)
