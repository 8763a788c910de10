"""What shapes the requests of a webhook: its settings, the fields that its payload detail includes, and the rendered result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue.schema import Field
from tms_webhooks.catalogue.values import has_value
from tms_webhooks.choices import FieldPrivacy, PayloadDetail, PayloadFormat

# The privacy levels that each detail includes.
_KEPT: Mapping[str, frozenset[FieldPrivacy]] = {
    PayloadDetail.FULL: frozenset(FieldPrivacy),
    PayloadDetail.NO_PERSONAL: frozenset({FieldPrivacy.ID, FieldPrivacy.BASIC}),
    PayloadDetail.THIN: frozenset({FieldPrivacy.ID}),
}


def is_included(field: Field, detail: str) -> bool:
    """Return whether a payload with this detail includes the field; of a list of objects, any field of the objects."""
    if field.items:
        return any(is_included(item, detail) for item in field.items)
    return field.privacy in _KEPT[detail]


def tailored(shape: RequestFormat, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the standard event in the webhook's detail. All formats are rendered from this.

    A thin one has a link to the full event, if there is an ``api_url``. Of all but the full detail, values that no field of the
    type describes are left out, because they may be personal. An empty ``details`` is left out, too.
    """
    detail = shape.detail
    if detail == PayloadDetail.FULL:
        return dict(event)
    tree = tree_of(catalogue.get(event["type"]).all_fields, detail)
    kept = {
        key: _pick(value, tree) if key in ("data", "details", "previous") else value for key, value in event.items()
    }
    kept["changed"] = [name for name in event["changed"] if has_value(tree, name)]
    if not kept.get("details", True):
        del kept["details"]
    if shape.api_url and detail == PayloadDetail.THIN:
        kept["links"] = {"event": f"{shape.api_url.rstrip('/')}/events/{event['id']}/"}
    return kept


def tree_of(fields: Iterable[Field], detail: str) -> dict[str, Any]:
    """Return the names of the included fields, nested; those of the objects in a list below it, and None below a value."""
    tree: dict[str, Any] = {}
    for one in fields:
        if is_included(one, detail):
            *parents, leaf = one.name.split(".")
            below = tree
            for parent in parents:
                below = below.setdefault(parent, {})
            below[leaf] = tree_of(one.items, detail) if one.items else None
    return tree


def _pick(value: Any, tree: Mapping[str, Any] | None) -> Any:
    """Return the parts of a value that a tree names."""
    if tree is None:
        return value
    if isinstance(value, Mapping):
        return {name: _pick(value[name], below) for name, below in tree.items() if name in value}
    return [_pick(one, tree) for one in value] if isinstance(value, list) else value


# The content type of JSON bodies, and the longest content type in characters.
JSON = "application/json"
LONGEST_CONTENT_TYPE = 255


class Rendered(NamedTuple):
    """A body, as text to send in UTF-8, and its content type."""

    content_type: str
    body: str


PLAIN = (PayloadFormat.STANDARD, PayloadDetail.FULL)
"""The format and the detail of a stored event."""


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
        """Whether the stored body of an event is sent, with its digest alone."""
        return (self.format, self.detail) == PLAIN

    def content_of(self, event_type: str) -> str:
        """Return the content for events of this type: that of the narrowest pattern, else the content for all."""
        patterns = event_names.patterns_for(event_type)
        return next((self.contents[one] for one in patterns if one in self.contents), self.content)
