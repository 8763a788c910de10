"""How long a healthy receiver waits next to one that is down: with this app, and with django-outbound-webhooks.

The other package is installed with pip into a virtual environment of its own, which is deleted afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench import environment
from tests.bench.figures import Figure

PACKAGES = ("django-outbound-webhooks==0.4.0", "django-domain-events==0.14.1", "psycopg[binary]")
ROUNDS = 1
TIMEOUT = 1_200
COUNT = 5
RATE = 1
SIDES = {
    "ours": "tms_webhooks, one drain",
    "theirs_1": "django-outbound-webhooks, one process",
    "theirs_4": "django-outbound-webhooks, four processes",
}
"""A process of the other package has one request in flight."""
SCENES = {
    "alone": ("alone", ()),
    "next": ("next to the failing receiver", (500,)),
}
FIGURES = tuple(
    Figure(f"{side}_{scene}_{name}", f"{title}, {where}: {name}", "ms")
    for side, title in SIDES.items()
    for scene, (where, _statuses) in SCENES.items()
    for name in ("median", "longest")
)


def run(*, db, rounds):
    """Commit an event each second, for the healthy receiver alone and next to one that answers 500. One round is made."""
    if db != "postgres":
        raise SystemExit("django-outbound-webhooks needs PostgreSQL to deliver. Add --db postgres.")
    report = _compare("ours", _ours)
    with _other_python() as python:
        for relays in (1, 4):
            report |= _compare(f"theirs_{relays}", lambda *ports, number=relays: _theirs(python, number, *ports))
    return report


def _compare(side, stamps):
    """Return the median and the longest time from a commit to the healthy receiver, alone and with the other one."""
    report = {}
    for name, (_where, statuses) in SCENES.items():
        notes = environment.Notes()
        with environment.receiver(notes=notes) as healthy, ExitStack() as others:
            ports = [others.enter_context(environment.receiver(status=status)) for status in statuses]
            committed = stamps(healthy, *ports)
        delays = [(notes.arrivals[key] - stamp) * 1000 for key, stamp in committed.items()]
        report |= {f"{side}_{name}_median": [median(delays)], f"{side}_{name}_longest": [max(delays)]}
    return report


def _ours(*ports):
    with environment.database("postgres"):
        environment.figures("neighbors", "settle", *ports)
        with environment.managed("webhooks_drain"):
            return environment.figures("neighbors", "steadily", COUNT, RATE)


def _theirs(python, relays, *ports):
    command = [str(python), "-P", str(Path(__file__).with_name("outbound.py"))]
    with environment.database("postgres", migrated=False), ExitStack() as running:
        environ = environment.variables()
        subprocess.run([*command, "settle", *map(str, ports)], env=environ, check=True)
        for _ in range(relays):
            relay = subprocess.Popen([*command, "relay"], env=environ, stderr=subprocess.DEVNULL)
            running.callback(running.enter_context(relay).kill)
        fire = [*command, "steadily", str(COUNT), str(RATE)]
        done = subprocess.run(fire, env=environ, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _other_python():
    """Make a virtual environment with the other package and this one's version of Django; yield its Python."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        packages = [*PACKAGES, f"Django=={version('Django')}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        yield python
