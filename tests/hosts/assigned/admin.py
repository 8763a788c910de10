"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.assigned.models import Program, Proposal
from tests.hosts.routes import register_in_admin

register_in_admin(Program, Proposal)
