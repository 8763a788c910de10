"""Each number of a rule is one: the documents say what the code does."""

import re

from tests.claims import ROOT, pages
from tests.each import each
from tms_webhooks.conf import AppSettings
from tms_webhooks.delivery.retry import RATE_LIMITED, SHORTEST_DEFERRAL
from tms_webhooks.documents import ANSWERS

UNITS = {"": 1, "s": 1, "minutes": 60, "days": 86_400, "KiB": 1_024}
BESIDE = re.compile(r"`([A-Z_]{4,})`\s\((\d[\d,]*)(?: (\w+))?\)|(\d[\d,]*)\s(\w+)\s\(`([A-Z_]{4,})`\)")
"""A setting with a number: `MAX_IN_FLIGHT` (32), or 7 minutes (`NOTIFY_AFTER_SECONDS`)."""


def default_of(name):
    return vars(AppSettings)[name].default


def text_of(page):
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@each(pages())
def test_a_number_beside_the_name_of_a_setting_is_its_default(page):
    for name, number, unit, other, other_unit, other_name in BESIDE.findall(text_of(page)):
        days = 86_400 if other_name.endswith("_DAYS") else 1
        seconds = int((number or other).replace(",", "")) * UNITS[unit or other_unit]
        assert seconds == default_of(name or other_name) * days, name or other_name


def test_people_are_notified_first_after_as_many_minutes_as_the_setting_has():
    minutes = default_of("NOTIFY_AFTER_SECONDS") / 60

    for page in ("README.md", "tests/claims.md"):
        assert f"fails for {minutes:g} minutes" in text_of(page)
    assert re.findall(r"(?:for|after) (\S+) minutes", text_of("docs/howto/email.md")) == [f"{minutes:g}"] * 4


def test_a_drain_of_a_queue_lasts_as_many_seconds_as_the_setting_has():
    seconds = f"{default_of('DRAIN_BUDGET_SECONDS'):g}"
    said = r"`DRAIN_BUDGET_SECONDS` \((\S+) s\)|(\S+) s of a drain"

    assert [one or other for one, other in re.findall(said, text_of("docs/howto/queues.md"))] == [seconds] * 2


def test_a_429_without_retry_after_holds_a_webhook_for_a_second_within_two_minutes_of_a_success():
    minutes = f"within {RATE_LIMITED / 60:g} minutes of a success"
    texts = [
        text_of(f"docs/{page}.md")
        for page in ("explanation/health", "explanation/at-least-once", "howto/receive/index")
    ]

    assert SHORTEST_DEFERRAL == 1
    assert [minutes in text for text in [*texts, ANSWERS["429"]]] == [True] * 4
    assert "for 1 second" in texts[2]
    assert "for 1 second" in ANSWERS["429"]
