"""A stranger plugs the app into a training system of another shape by the page alone, and sees verified requests.

The host is the page's own: organizations that share courses, statuses in words, bookings of which some are enrollments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pages import BLOCK, Follower

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "plug-in.md"
MOST_LINES = 60
MOST_SETTINGS = 7


@pytest.fixture
def follower(tmp_path) -> Iterator[Follower]:
    follower = Follower(tmp_path)
    yield follower
    follower.close()


def blocks(file: str) -> list[list[str]]:
    """Return the page's blocks for a file, each as its lines without the name of the file."""
    first = f"# {file}"
    found = [code.splitlines() for _language, code in BLOCK.findall(PAGE.read_text())]
    return [lines[1:] for lines in found if lines[0] == first]


def test_every_step_works_and_each_customer_gets_what_is_theirs_verified(follower):
    (promised,) = follower.follow(PAGE)

    heard = follower.heard().splitlines()

    assert sorted(heard) == sorted(promised.splitlines())
    assert len(heard) == 5
    assert "class BookingSource(sources.EnrollmentSource):" in (follower.folder / "guessed.py").read_text()


def test_nine_models_need_at_most_sixty_lines_and_none_of_their_own():
    (models,), (sources,) = blocks("academy/models.py"), blocks("academy/webhooks.py")

    registered = {line.partition("(")[2].rstrip(")") for line in sources if line.startswith("@sources.register")}
    assert {"Person", "Session", "Booking", "Assignment", "Award", "Coupon", "Review"} <= registered
    assert 'path_model, path_courses, path_enabled = "academy.Track", "topics", None' in "\n".join(sources)
    assert len(sources) <= MOST_LINES
    assert "webhook" not in "\n".join(models)


def test_the_app_needs_at_most_seven_settings_lines():
    (of_app,) = [lines for lines in blocks("mysite/settings.py") if 'INSTALLED_APPS += ["tms_webhooks"]' in lines]

    assert len(of_app) <= MOST_SETTINGS
