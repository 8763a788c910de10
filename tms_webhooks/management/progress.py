"""How far long work is, for the person in front of the terminal."""

from __future__ import annotations

from typing import TextIO

WIDTH = 30


class Progress:
    """A bar on ``stream``; nothing at all where that is no terminal, so that logs stay readable."""

    def __init__(self, stream: TextIO, *, total: int) -> None:
        self._stream = stream
        self._total = total
        self._shown = stream.isatty() and total > 0

    def show(self, done: int) -> None:
        """Draw the bar anew."""
        if self._shown:
            full = min(WIDTH, WIDTH * done // self._total)
            bar = "#" * full + "." * (WIDTH - full)
            self._stream.write(f"\r[{bar}] {done} of {self._total}")
            self._stream.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
