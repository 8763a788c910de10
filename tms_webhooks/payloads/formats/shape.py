"""The settings of a webhook that shape its requests, and the rendered result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    - ``version``: the newest payload version that the receiver knows, or None for the current one
    - ``url`` and ``content``: templates, which may contain tokens
    - ``content_type``: the Content-Type among the webhook's headers, or ``""``
    - ``api_url``: base URL of the API, for links to the full event, or ``""``
    """

    format: str = PayloadFormat.STANDARD
    detail: str = PayloadDetail.FULL
    version: int | None = None
    url: str = ""
    content: str = ""
    content_type: str = ""
    api_url: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the stored body of an event is sent unchanged."""
        return self.format == PayloadFormat.STANDARD and self.detail == PayloadDetail.FULL and self.version is None

    @property
    def has_tokens(self) -> bool:
        """Whether the URL depends on the event."""
        return template.has_tokens(self.url)
