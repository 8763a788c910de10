"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.roles.models import Participation
from tests.hosts.routes import register_in_admin

register_in_admin(Participation)
