"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.routes import register_in_admin
from tests.hosts.versioned.models import RecordedCourse, RevertedCourse

register_in_admin(RecordedCourse, RevertedCourse)
