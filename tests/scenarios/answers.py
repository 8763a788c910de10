"""Answers that a receiver keeps back."""

import threading

from tests.patience import PATIENCE
from tests.receiver import Answer


class Held(Answer):
    """An answer that is not given before the gate is open."""

    gate: threading.Event

    @property
    def delay(self):
        """Wait for the gate, then not at all."""
        self.gate.wait(PATIENCE)
        return 0.0

    @delay.setter
    def delay(self, value):
        """Ignore what the constructor says."""


def held(gate, **values):
    """Return an answer that waits until ``gate`` is set."""
    answer = Held(**values)
    answer.gate = gate
    return answer
