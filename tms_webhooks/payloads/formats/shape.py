"""What one webhook wants its requests to look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import template

JSON = "application/json"
LONGEST_CONTENT_TYPE = 255


class Rendered(NamedTuple):
    """A body, as text that is sent in UTF-8, and its content type."""

    content_type: str
    body: str


@dataclass(frozen=True, slots=True, repr=False)
class RequestFormat:
    """What a webhook says of the form of its requests. ``content_type`` is the one among its headers, if it names one.

    ``api_url`` is where the receiver finds what it is not told.
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
        """Whether an event's own body is the one to send."""
        return self.format == PayloadFormat.STANDARD and self.detail == PayloadDetail.FULL and self.version is None

    @property
    def has_tokens(self) -> bool:
        """Whether the URL is another one for each event."""
        return template.has_tokens(self.url)
