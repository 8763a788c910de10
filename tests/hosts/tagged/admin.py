"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.routes import register_in_admin
from tests.hosts.tagged.models import Tag, TaggedClass

register_in_admin(Tag, TaggedClass)
