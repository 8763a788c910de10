"""The data that a browser submits for an unchanged form: it drops numbers and times that are written in another way."""

import re
from html.parser import HTMLParser

WRITTEN = {
    "number": re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?"),
    "datetime-local": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?"),
}
NEVER_SENT = {"submit", "button", "image", "reset", "file"}


def untouched(page, *, form):
    """Return the data that the form with this id submits."""
    reader = _Reader(form)
    reader.feed(page)
    assert reader.sent, f"There is no form {form}."
    return reader.sent


class _Reader(HTMLParser):
    def __init__(self, form):
        super().__init__()
        self.form, self.sent = form, {}
        self._inside, self._name = False, ""
        self._text = None
        self._options = []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = values.get("id") == self.form
        elif tag == "input":
            kind = values.get("type", "text")
            value = values.get("value", "on" if kind == "checkbox" else "")
            is_sent = "checked" in values or kind not in (*NEVER_SENT, "checkbox", "radio")
            is_written = kind not in WRITTEN or WRITTEN[kind].fullmatch(value)
            self._send(values.get("name", ""), [value if is_written else ""] if is_sent else [])
        elif tag in ("textarea", "select"):
            self._name, self._text, self._options = values.get("name", ""), [], []
        elif tag == "option":
            self._options.append(("selected" in values, values.get("value", "")))

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            text = "".join(self._text or ()).replace("\r\n", "\n").removeprefix("\n")
            self._send(self._name, [text.replace("\n", "\r\n")])
        elif tag == "select":
            chosen = [value for is_chosen, value in self._options if is_chosen]
            self._send(self._name, chosen or [value for _chosen, value in self._options[:1]])

    def handle_data(self, data):
        if self._text is not None:
            self._text.append(data)

    def _send(self, name, values):
        self._text = None
        if self._inside and name and values:
            self.sent.setdefault(name, []).extend(values)
