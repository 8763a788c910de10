"""How long an organization's events wait because of another one, whose contents take as long to render as accepted ones can."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench import environment, tenants
from tests.bench.environment import TRANSPORTS, Rounds, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group

ROUNDS = 1
TIMEOUT = 400
WEBHOOKS, EVENTS = sized(100), sized(200)
"""Of the other organization, and how many events are due for each of its webhooks at the beginning."""
CONTENT = "".join(f"{{data|truncate:{number}}}" for number in range(1, 251))
FIELDS = {"format": "custom", "content": CONTENT, "headers": "Content-Type=application/x-www-form-urlencoded"}
"""Each token is another one, and is encoded for a form: the costliest position."""
FIGURES = tuple(
    Figure(
        f"{way}_added",
        f"next to another organization with {WEBHOOKS} webhooks of costly content, {title}: what that adds to p95",
        "ms",
        at_most=50,
    )
    for way, title in TRANSPORTS.items()
)


def run(*, db: str, rounds: int) -> Rounds:
    """Measure each transport, first without the other organization and then with it."""
    return {f"{way}_added": [tenants.added(db, way, _costly) for _ in range(rounds)] for way in TRANSPORTS}


def _costly(stack: ExitStack) -> list[Group]:
    port = stack.enter_context(environment.receiver())
    return [Group(port, WEBHOOKS, EVENTS, organization="other", fields=FIELDS)]
