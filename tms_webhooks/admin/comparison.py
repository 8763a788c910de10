"""The page that compares the copy of a receiver with the database, and offers to send what the copy lacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from tms_webhooks.admin.actions import SNAPSHOT, is_allowed, noun_choices
from tms_webhooks.admin.bases import may_view_all_payloads
from tms_webhooks.admin.words import cut, object_text
from tms_webhooks.comparison import MOST_READ, Comparison
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Webhook
from tms_webhooks.snapshot import MOST_IDS, PAGE, Selection, SourceReader
from tms_webhooks.sources.registry import sources_of_noun

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

MOST_BYTES = 4_000_000
"""The largest file: as many lines as are read, of the longest ids."""
MOST_LISTED = PAGE
"""Objects of each kind that the page lists."""
LONGEST_QUOTE = 60
LINE = re.compile(r'"?(.{1,300}?)"?[:,] ?"?([0-9a-fA-F]{32}|)"?')
HEADER = re.compile(r'"?id"?[:,] ?"?digest"?', re.IGNORECASE)


class ComparisonForm(forms.Form):
    """A noun, and the lines of a receiver. After validation, ``copy`` is what `digests_by_id` returns."""

    noun = forms.ChoiceField(label=gettext_lazy("Objects"))
    copy = forms.CharField(
        label=gettext_lazy("What the receiver has"),
        required=False,
        widget=forms.Textarea({"rows": 8, "cols": 50, "spellcheck": "false"}),
        help_text=gettext_lazy("One line for each object, as id:digest or id,digest. At most 10,000 lines."),
    )
    file = forms.FileField(
        label=gettext_lazy("Or a file with these lines"),
        required=False,
        allow_empty_file=True,
        widget=forms.FileInput({"accept": ".csv,.txt,text/*"}),
    )
    buckets = forms.IntegerField(
        label=gettext_lazy("Buckets"),
        min_value=1,
        max_value=MOST_BUCKETS,
        initial=1,
        help_text=gettext_lazy(
            "More than 1 if there are more than 10,000 objects. Then compare one bucket after the other."
        ),
    )
    bucket = forms.IntegerField(
        label=gettext_lazy("Number of the bucket"),
        min_value=0,
        initial=0,
        help_text=gettext_lazy("From 0. Lines of other buckets are ignored."),
    )

    def __init__(self, webhook: Webhook, *data: Any) -> None:
        super().__init__(*data)
        field: Any = self.fields["noun"]
        field.choices = noun_choices(webhook)

    def clean(self) -> dict[str, Any]:
        values, upload = self.cleaned_data, self.cleaned_data.get("file")
        if values.get("bucket", 0) >= values.get("buckets", MOST_BUCKETS):
            self.add_error("bucket", _("Use a number below the number of buckets."))
        if upload is None and not values.get("copy"):
            self.add_error("copy", _("Paste the lines, or choose a file."))
        elif upload is not None and upload.size > MOST_BYTES:
            self.add_error("file", _("The file is larger than 4 MB. Compare one bucket after the other."))
        else:
            try:
                text = values["copy"] if upload is None else upload.read().decode("utf-8-sig", "replace")
                values["copy"] = digests_by_id(text)
            except ValidationError as error:
                self.add_error("copy" if upload is None else "file", error)
        return values


def digests_by_id(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the digests in the lines of a text by the ids of their objects, and a message for each line that is left out.

    A line may lack the digest, and the first one may name the columns. Raise `ValidationError` for too many lines, and if
    none can be read.
    """
    found: dict[str, str] = {}
    left_out: list[str] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if not line or (number == 1 and HEADER.fullmatch(line)):
            continue
        matched, values = LINE.fullmatch(line), {"line": number, "text": line[:LONGEST_QUOTE]}
        if len(found) + len(left_out) == MOST_READ:
            message = _("Line %(line)d is one too many. Compare at most 10,000 objects, one bucket after the other.")
            raise ValidationError(message % values)
        if matched is None:
            left_out.append(_("Line %(line)d is not an id and a digest of 32 hexadecimal digits: %(text)s") % values)
        elif matched[1] in found:
            left_out.append(_("Line %(line)d has an id that an earlier line has, too: %(text)s") % values)
        else:
            found[matched[1]] = matched[2].lower()
    if left_out and not found:
        raise ValidationError(left_out[0])
    return found, left_out


# Of the lost, stale and ghost objects in `Differences`.
KINDS = (
    (pgettext_lazy("objects", "Lost"), gettext_lazy("The receiver lacks these objects.")),
    (pgettext_lazy("objects", "Stale"), gettext_lazy("The receiver has another state of these objects.")),
    (
        pgettext_lazy("objects", "Ghosts"),
        gettext_lazy(
            "Only the receiver has these objects, and has to delete them: they no longer exist, or the webhook does not "
            "receive them. A snapshot does not remove them."
        ),
    ),
)


def comparison(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Compare the lines of a receiver with the objects that the webhook receives, and show the differences."""
    webhook = admin.row_of(request, key)
    if not may_view_all_payloads(request, webhook):
        raise PermissionDenied
    form = ComparisonForm(webhook, *([request.POST, request.FILES] if request.method == "POST" else []))
    context: dict[str, Any] = {"title": _("Compare a copy"), "form": form}
    if form.is_valid():
        noun, (copy, left_out), of, bucket = (form.cleaned_data[name] for name in ("noun", "copy", "buckets", "bucket"))
        try:
            found = Comparison(webhook, noun).differences(copy, of=of, bucket=bucket)
        except ReplayError as error:
            form.add_error(error.field, str(error))
        else:
            wrong = found.lost + found.stale
            context |= {
                "found": found,
                "total": len(wrong) + len(found.ghosts),
                "kinds": [
                    (title, text, ids, _listed(webhook, noun, ids[:MOST_LISTED]))
                    for (title, text), ids in zip(KINDS, found[1:], strict=True)
                ],
                "most_listed": MOST_LISTED,
                "left_out": left_out,
                "noun": noun,
                "wrong": wrong,
                "sent": wrong[:MOST_IDS],
                "may_send": SNAPSHOT.is_available(webhook) and is_allowed(admin, request, SNAPSHOT, webhook),
            }
    return admin.webhook_page(request, "comparison", webhook, **context)


def _listed(webhook: Webhook, noun: str, ids: Sequence[str]) -> list[SafeString]:
    """Return the texts of objects, at most `PAGE`: with the names of those that the webhook receives."""
    readers = [SourceReader(webhook, one, Selection(frozenset(ids))) for one in sources_of_noun(noun) if ids]
    events = [event for reader in readers for event in reader.read("", now=timezone.now()).events]
    texts = {event.subject_id: object_text(event, is_named=True) for event in events}
    return [texts.get(key) or cut(key) for key in ids]
