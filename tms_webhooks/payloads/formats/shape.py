"""The settings of a webhook that shape its requests, and the rendered result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tms_webhooks import event_names
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import template

# The content type of JSON bodies, and the longest content type in characters.
JSON = "application/json"
LONGEST_CONTENT_TYPE = 255


class Rendered(NamedTuple):
    """A body, as text to send in UTF-8, and its content type."""

    content_type: str
    body: str


@dataclass(frozen=True, slots=True, repr=False)
class RequestFormat:
    """The settings of a webhook that shape its requests.

    - ``format`` and ``detail``: a `PayloadFormat` and a `PayloadDetail`
    - ``url`` and ``content``: templates, which may contain tokens
    - ``contents``: other contents for some events, by their event type or pattern
    - ``content_type``: the Content-Type among the webhook's headers, or ``""``
    - ``api_url``: base URL of the API, for links to the full event, or ``""``
    """

    format: str = PayloadFormat.STANDARD
    detail: str = PayloadDetail.FULL
    url: str = ""
    content: str = ""
    contents: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    api_url: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the stored body of an event is sent unchanged."""
        return self.format == PayloadFormat.STANDARD and self.detail == PayloadDetail.FULL

    def content_of(self, event_type: str) -> str:
        """Return the content for events of this type: that of the narrowest pattern, else the content for all."""
        if not self.contents:
            return self.content
        patterns = event_names.patterns_for(event_type)
        return next((self.contents[one] for one in patterns if one in self.contents), self.content)

    @property
    def has_tokens(self) -> bool:
        """Whether the URL depends on the event."""
        return template.has_tokens(self.url)
