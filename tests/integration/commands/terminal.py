"""A terminal, or what is none."""

from __future__ import annotations


class Terminal:
    """Keeps what is written to it."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.written = ""
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass
