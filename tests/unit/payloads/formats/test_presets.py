"""Presets: for every event and payload detail, a body within the limits that the vendors publish, whatever the values."""

import json

import pytest

from tms_webhooks.catalogue import get, registry
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.choices import PayloadDetail, Preset
from tms_webhooks.payloads.formats import RequestFormat, render, tailored
from tms_webhooks.payloads.formats.check import check, empty_tokens
from tms_webhooks.payloads.formats.presets import content_for

OFFERED = [one for one in BUILT_IN if one.offered]
HOSTILES = ('<!channel> & "quoted" \\ \n' + "🙂é" * 2_000, "&" * 2_000, "[Log in](https://evil.example)")
"""Values that are long, in characters, in bytes, or after Slack's escaping, and a link."""
# https://docs.slack.dev/reference/block-kit/blocks/section-block and header-block
SLACK_HEADER, SLACK_FIELDS, SLACK_FIELD, SLACK_BLOCKS, SLACK_TEXT = 150, 10, 2_000, 50, 4_000
# https://learn.microsoft.com/microsoftteams/limits-specifications-teams
TEAMS_MESSAGE = 28 * 1024


def shape_of(preset, patterns, detail=PayloadDetail.FULL):
    content, contents = content_for(preset, patterns, detail=detail)
    return RequestFormat(format="custom", detail=detail, content=content, contents=contents)


def body_of(shape, event_type, *, hostile=""):
    event = event_type.example()
    if hostile:
        event["data"] = _with_texts(event["data"], hostile)
    return render(shape, tailored(shape, event), limit=10**7)


def _with_texts(value, text):
    """Return a value with this text in place of each of its texts."""
    if isinstance(value, dict):
        return {name: _with_texts(one, text) for name, one in value.items()}
    return text if isinstance(value, str) else value


def assert_slack(body):
    message = json.loads(body)
    assert len(message["text"]) <= SLACK_TEXT
    assert len(message["blocks"]) <= SLACK_BLOCKS
    header, section, _context = message["blocks"]
    assert 0 < len(header["text"]["text"]) <= SLACK_HEADER
    assert 0 < len(section["fields"]) <= SLACK_FIELDS
    assert all(0 < len(field["text"]) <= SLACK_FIELD for field in section["fields"])
    assert not any("<!" in field["text"] for field in section["fields"])


def assert_teams(body):
    assert len(body.encode()) <= TEAMS_MESSAGE
    message = json.loads(body)
    (attachment,) = message["attachments"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    title, facts, _time = attachment["content"]["body"]
    assert title["text"]
    assert all(fact["title"] and fact["value"] for fact in facts["facts"])
    assert not any("](" in fact["value"] for fact in facts["facts"])


def assert_flat(body):
    values = json.loads(body)
    assert all(isinstance(value, str) for value in values.values())
    assert values["event_type"]


VALID = {
    Preset.SLACK: assert_slack,
    Preset.TEAMS: assert_teams,
    Preset.POWER_AUTOMATE: assert_flat,
}


@pytest.mark.parametrize("detail", PayloadDetail)
@pytest.mark.parametrize("preset", Preset)
def test_every_event_has_a_valid_body_also_with_hostile_values(preset, detail):
    for event_type in OFFERED:
        shape = shape_of(preset, [event_type.name], detail)
        check(shape, [event_type])
        assert empty_tokens(shape, [event_type]) == {}
        for hostile in ("", *HOSTILES):
            VALID[preset](body_of(shape, event_type, hostile=hostile).body)


@pytest.mark.parametrize("preset", Preset)
@pytest.mark.parametrize("pattern", ["*", "class.*", "enrollment.*"])
def test_a_pattern_has_one_content_for_each_noun_which_fits_all_of_its_events(preset, pattern):
    shape = shape_of(preset, [pattern])
    members = registry.expand(pattern)

    check(shape, members)
    assert set(shape.contents) == {f"{one.name.partition('.')[0]}.*" for one in members}
    for event_type in members:
        VALID[preset](body_of(shape, event_type).body)


@pytest.mark.parametrize("preset", Preset)
def test_an_event_that_is_subscribed_to_later_gets_the_content_for_all(preset):
    shape = shape_of(preset, ["class.cancelled"])

    body = body_of(shape, get("voucher.redeemed")).body

    assert "voucher.redeemed" in body


def test_the_first_line_says_in_words_which_event_it_is():
    body = json.loads(
        body_of(shape_of("slack", ["course_assignment.expiring"]), get("course_assignment.expiring")).body
    )

    assert body["text"] == "Course assignment expiring"
    assert "*Days left*\n27.5" in [field["text"] for field in body["blocks"][1]["fields"]]
