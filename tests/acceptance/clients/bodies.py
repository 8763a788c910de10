"""Read every kind of body by the models of a client, and see that they keep each value."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any


def read_all(made_of: Callable[[str, str], Any]) -> None:
    """Print the number of bodies. ``made_of`` returns a model's values, given the model's name and the text of a body."""
    bodies = all_bodies()
    for text in bodies:
        event = json.loads(text)
        name = "".join(part.capitalize() for part in event["type"].replace(".", "_").split("_")) + "Event"
        assert holds(made_of(name, text), event), text
    print("bodies:", len(bodies))


def all_bodies() -> list[str]:
    """Return the texts of the bodies."""
    return json.loads(Path(os.environ["BODIES"]).read_text(encoding="utf-8"))


def holds(made: Any, event: Any) -> bool:
    """Return whether each value of an event is in the object that a client made of it."""
    if isinstance(event, dict):
        return all(holds(made.get(name), value) for name, value in event.items())
    if isinstance(event, list):
        return len(made) == len(event) and all(map(holds, made, event))
    if isinstance(event, str) and event.endswith("Z"):
        return datetime.fromisoformat(str(made)) == datetime.fromisoformat(event)
    return bool(made == event)
