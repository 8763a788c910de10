"""Achievements that learners earn."""

from __future__ import annotations

from typing import Any, ClassVar

from tms_webhooks.catalogue.types.achievement import ACHIEVEMENT
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Created, Deleted, Rule


class AchievementSource(Source):
    """An award: the row that appears when a learner earns an achievement."""

    noun = ACHIEVEMENT
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (Created("achievement.received"), Deleted("achievement.revoked"))
