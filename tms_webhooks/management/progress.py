"""A progress bar for commands that run long."""

from __future__ import annotations

from typing import TextIO

WIDTH = 30
"""Characters of the bar."""


class Progress:
    """Draws a bar on ``stream`` if that is a terminal; otherwise nothing, so that logs stay readable."""

    def __init__(self, stream: TextIO, *, total: int) -> None:
        self._stream = stream
        self._total = total
        self._shown = stream.isatty() and total > 0

    def show(self, done: int) -> None:
        """Draw the bar again."""
        if self._shown:
            full = min(WIDTH, WIDTH * done // self._total)
            bar = "#" * full + "." * (WIDTH - full)
            self._stream.write(f"\r[{bar}] {done} of {self._total}")
            self._stream.flush()

    def end(self) -> None:
        """End the line of the bar."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
