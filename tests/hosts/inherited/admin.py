"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.inherited.models import OnlineTraining, Training
from tests.hosts.routes import register_in_admin

register_in_admin(OnlineTraining, Training)
