"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.routes import register_in_admin
from tests.hosts.shared.models import SharedClass, SharedCourse, SharedPlace

register_in_admin(SharedClass, SharedCourse, SharedPlace)
