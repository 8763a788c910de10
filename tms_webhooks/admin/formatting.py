"""Numbers, durations and times as text in the language and the time zone of the page."""

from __future__ import annotations

from datetime import datetime, tzinfo

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from tms_webhooks.choices import JobKind

EMPTY = "–"


def format_number(value: float) -> str:
    """Return a number without trailing zeros: "1", "2.5", "1,234.5"."""
    return str(formats.localize(int(value) if float(value).is_integer() else value))


def format_count(value: int) -> str:
    """Return a whole number with thousands separators: "12,345"."""
    return str(formats.number_format(value, force_grouping=True))


def format_total(value: int, kind: str = "") -> str:
    """Return the number of deliveries of a job as text; "10,000+" above 10,000. The objects of a snapshot are all counted."""
    from tms_webhooks.delivery.replay import MAX_COUNTED

    return f"{format_count(MAX_COUNTED)}+" if value > MAX_COUNTED and kind != JobKind.SNAPSHOT else format_count(value)


def format_rounded(value: float) -> str:
    """Return a number with three significant digits."""
    return format_number(float(f"{value:.3g}"))


def format_milliseconds(value: int | None) -> str:
    """Return a duration in milliseconds as text."""
    return format_duration(None if value is None else value / 1000)


def format_duration(seconds: float | None) -> str:
    """Return a duration in its largest unit, with three digits: "110 ms", "5 s", "2.5 min", "75.6 h", "5 days"."""
    if seconds is None:
        return EMPTY
    if seconds < 1:
        return _("%(count)d ms") % {"count": round(seconds * 1000)}
    units = ((100, 1, _("%(count)s s")), (5400, 60, _("%(count)s min")), (345_600, 3600, _("%(count)s h")))
    for end, size, text in units:
        if seconds < end:
            return text % {"count": format_rounded(seconds / size)}
    return _("%(count)s days") % {"count": format_rounded(seconds / 86_400)}


def format_moment(value: datetime | None, zone: tzinfo | None = None) -> str:
    """Return a date and time with seconds, in a time zone; by default in that of the page."""
    if value is None:
        return EMPTY
    local = timezone.localtime(value, zone)
    # DATETIME_FORMAT ends with "p.m." in English, which would double the period at the end of a sentence.
    return f"{formats.date_format(local, 'DATE_FORMAT')}, {formats.date_format(local, 'H:i:s')}"


def moment_cell(value: datetime | None, text: str = "") -> SafeString:
    """Return a time for a list, with the date below it; or a text such as "in 42 s", with the time below it.

    The tooltip is the whole moment with its zone.
    """
    if value is None:
        return format_html("{}", EMPTY)
    local = timezone.localtime(value)
    clock = formats.date_format(local, "H:i:s")
    return format_html(
        '<time datetime="{}" title="{} {}">{} <span class="tms-small">{}</span></time>',
        value.isoformat(),
        format_moment(value),
        local.tzname(),
        text or clock,
        clock if text else formats.date_format(local, pgettext("short date, as in Django's templates", "M j, Y")),
    )
