"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.people.models import Account, Learner, Person, Study
from tests.hosts.routes import register_in_admin

register_in_admin(Account, Learner, Person, Study)
