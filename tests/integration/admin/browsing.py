"""The data that a browser submits for an unchanged form: it normalizes values by input type, and drops invalid ones."""

from __future__ import annotations

import re
from datetime import datetime
from html.parser import HTMLParser

NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?")
NEVER_SENT = {"submit", "button", "image", "reset", "file"}

Sent = dict[str, list[str]]


def untouched(page: str, *, form: str) -> Sent:
    """Return the data that the form with this id submits."""
    reader = _Reader(form)
    reader.feed(page)
    assert reader.sent, f"There is no form {form}."
    return reader.sent


class _Reader(HTMLParser):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.sent: Sent = {}
        self._inside = False
        self._text: list[str] | None = None
        self._area = ""
        self._select: list[tuple[str, bool]] = []
        self._selects: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self._inside = values.get("id") == self.form
        if not self._inside:
            return
        if tag == "input":
            self._input(values)
        elif tag == "textarea":
            self._area, self._text = values.get("name") or "", []
        elif tag == "select":
            self._selects, self._select = values, []
        elif tag == "option":
            value = values.get("value")
            assert value is not None or not self._selects.get("name", "").startswith("events-")
            self._select.append((value or "", "selected" in values))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea" and self._text is not None:
            text = "".join(self._text).replace("\r\n", "\n").removeprefix("\n")
            self._send(self._area, text.replace("\n", "\r\n"))
            self._text = None
        elif tag == "select" and self._inside:
            chosen = [value for value, is_chosen in self._select if is_chosen]
            first = [] if "multiple" in self._selects else [value for value, _is_chosen in self._select[:1]]
            for value in chosen or first:
                self._send(self._selects.get("name") or "", value)

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def _input(self, values: dict[str, str | None]) -> None:
        kind, value = values.get("type") or "text", values.get("value")
        if kind in NEVER_SENT or (kind in ("checkbox", "radio") and "checked" not in values):
            return
        self._send(
            values.get("name") or "", _tidied(kind, "on" if value is None and kind == "checkbox" else value or "")
        )

    def _send(self, name: str, value: str) -> None:
        if name:
            self.sent.setdefault(name, []).append(value)


def _tidied(kind: str, value: str) -> str:
    """Return a value as a box of this kind takes it."""
    if kind == "number":
        return value if NUMBER.fullmatch(value) else ""
    if kind == "datetime-local":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return ""
    return value if kind in ("hidden", "checkbox", "radio") else re.sub(r"[\r\n]", "", value)
