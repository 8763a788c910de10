"""The admin pages of this shape."""

from __future__ import annotations

from tests.hosts.routes import register_in_admin
from tests.hosts.translated.models import Lecture, LectureTranslation, Reading, ReadingTranslation

register_in_admin(Lecture, inlines=(LectureTranslation,))
register_in_admin(Reading, inlines=(ReadingTranslation,))
register_in_admin(LectureTranslation, ReadingTranslation)
