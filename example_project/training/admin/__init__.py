"""The administration pages, a module for each noun; importing them registers them."""

from __future__ import annotations

from example_project.training.admin import (
    achievements,
    classes,
    courses,
    feedback,
    keys,
    learning_paths,
    operations,
    organizations,
    people,
    self_paced,
    vouchers,
)

__all__ = [
    "achievements",
    "classes",
    "courses",
    "feedback",
    "keys",
    "learning_paths",
    "operations",
    "organizations",
    "people",
    "self_paced",
    "vouchers",
]
