"""The users, the sites and the rows of the tests of the API and of the admin."""

from tests.integration.admin.conftest import operator, site, staff
from tests.integration.api.conftest import acme, alice, names, policy, problem, restricted, stranger
from tests.integration.api.test_scope import world

__all__ = [
    "acme", "alice", "names", "operator", "policy", "problem", "restricted", "site", "staff", "stranger", "world",
]  # fmt: skip
