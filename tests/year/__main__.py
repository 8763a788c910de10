"""``python -m tests.year --events 2000000``: a year of the example in as few minutes as the machine needs.

Twelve organizations work with the training system on PostgreSQL, which has a synchronous standby; a drain delivers to their
mirrors. The clock is simulated, moves when nothing can be sent, and is the same for all processes. In the year:

- all receivers are away for 6 hours, one answers 503 for 30 hours, and one is away for 9 days, until its webhook is disabled;
- 17 signing secrets and 3 encryption keys are rotated;
- the primary is killed while rows are saved and sent, and the standby is promoted;
- a new release with a migration replaces the old one, while both run.

At the end each mirror is compared with the database by its digests. A table of the figures is printed.
"""

import argparse
import contextlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.scenarios.mirror_program import Mirror
from tests.scenarios.postgres import server_of_its_own
from tests.year import clock

ROOT = Path(__file__).resolve().parents[2]
ORGANIZATIONS = 12
DAYS, DAY = 365, 86_400.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
LONGEST_STEP = 5.0
"""Days."""
SECRETS, KEYS = range(10, 350, 20), (75, 165, 285)
OVERTAKEN = "unverified: Message timestamp too old"
"""What receivers count of requests during which the clock moved. They are tried again."""
OVERLAP = 3
"""Days for which an old secret is valid. The receiver gets the new one after a day."""
LATER = """from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("tms_webhooks", "0001_initial")]
    operations = [
        migrations.AddField(name, "later", models.IntegerField(db_default=0))
        for name in ("webhook", "subscription", "event", "delivery", "deliveryattempt")
    ]
"""


class Lines:
    """A process that answers each line of its standard input, both in JSON."""

    def __init__(self, module, **options):
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-m", module], **streams, **options)

    def send(self, *line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended; see its log.")
        return json.loads(line)

    def __call__(self, *line):
        self.send(*line)
        return self.answer()


class Year:
    """The processes, and the time."""

    def __init__(self, folder, primary, standby, *, events, seed, ends):
        self.folder, self.events, self.seed, self._ends = folder, events, seed, ends
        self.primary, self.standby = primary, standby
        self.clock = clock.new(folder / "clock", BEGIN)
        self.log = ends.enter_context((folder / "log").open("w"))
        self.day, self.made, self.refused, self.steps = 0.0, 0, 0, 0
        self.release, self.keys, self.notes = ROOT, [new_key()], {}
        self.port = free_port()
        self.drains, self.hosts = [], []

    # --- Processes ---

    @property
    def options(self):
        """How processes of the current release are started, with the current keys."""
        given = {"ports": f"{self.primary.port},{self.standby.port}", "keys": self.keys, "port": self.port}
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.year.settings",
            "TMS_DATABASE": self.primary.url,
            "TMS_YEAR": json.dumps(given),
            "TMS_YEAR_CLOCK": str(self.folder / "clock"),
        }
        return {"cwd": self.release, "env": environment, "stderr": self.log}

    def django(self, *arguments):
        subprocess.run([sys.executable, "-m", "django", *arguments], **self.options, stdout=self.log, check=True)

    def start(self, *arguments):
        process = subprocess.Popen([sys.executable, "-m", "django", *arguments], **self.options, stdout=self.log)
        self._ends.callback(end, process)
        return process

    def start_release(self):
        """Start a drain and a host beside those that run, and wait until both work."""
        self.drains.append(self.start("webhooks_drain", "--skip-checks"))
        self.hosts.append(Lines("tests.year.host", **self.options))
        self._ends.callback(end, self.hosts[-1].process)
        wait_until(lambda: self.host("drains") >= len(self.drains))

    def end_older(self):
        """End what ran before the last start, as docs/upgrade.md says."""
        for drain in self.drains[:-1]:
            end(drain, well=True)
        for host in self.hosts[:-1]:
            end(host.process)
        self.drains, self.hosts = self.drains[-1:], self.hosts[-1:]

    def host(self, *line):
        return self.hosts[-1](*line)

    def prepare(self):
        self.django("migrate", "--verbosity", "0")
        self.start_release()
        known = self.host("make", ORGANIZATIONS, self.port)
        api = free_port()
        self.mirrors = [
            Mirror(
                self.folder / f"mirror{n}",
                {
                    "WEBHOOK_ID": one["webhook"],
                    "TMS_AUTHORIZATION": one["key"],
                    "TMS_API": f"http://127.0.0.1:{api}/api",
                    "PAUSE": "1",
                },
                seconds=PATIENCE,
            )
            for n, one in enumerate(known)
        ]
        self.receivers = Lines("tests.year.receivers", **self.options)
        self._ends.callback(end, self.receivers.process)
        described = [(str(mirror.folder), one["secret"]) for mirror, one in zip(self.mirrors, known, strict=True)]
        self.receivers(self.port, described)
        self.api = api
        self.settle()

    # --- The time ---

    def run(self):
        """Let the year pass, from one step or occasion to the next."""
        step = min(LONGEST_STEP, max(1 / 24, 1_000 * DAYS / self.events))
        # While receivers are down, retries come due all the time.
        self.least = max(1_800.0, step * 3_600)
        occasions = sorted(self.occasions(), key=lambda one: one[0])
        while self.day < DAYS:
            before = self.day
            self.pass_until(min(self.day + step, occasions[0][0] if occasions else DAYS, DAYS))
            while occasions and occasions[0][0] <= self.day:
                _day, occasion, *arguments = occasions.pop(0)
                occasion(*arguments)
                self.settle()
            if before // 30 < self.day // 30:
                print(f"Day {self.day:.0f}: {self.made:,} events, {time.monotonic() - BEGUN:.0f} s.", file=sys.stderr)
        # Twice: what the periodic jobs record is to be delivered, and pruned.
        for _ in range(2):
            self.move_to(self.clock.time() + 3 * 3_600)
            self.settle()
        while self.due is not None:
            self.move_to(self.due + 1)
            self.settle()

    def pass_until(self, day):
        """Move the clock from one retry to the next, then to the day; have people work there."""
        end = BEGIN + day * DAY
        while self.due is not None and self.due < end - self.least:
            self.move_to(max(self.due, self.clock.time() + self.least))
            self.settle()
        self.move_to(end)
        self.day = day
        self.edit(math.ceil(self.events * day / DAYS) - self.made)
        self.settle()

    def settle(self):
        self.due = self.host("settle")

    def move_to(self, seconds):
        self.steps += 1
        self.clock.move_to(seconds)

    def edit(self, events, organization=None, *, while_it_works=lambda: None):
        """Have people work with the oldest and the newest host in turn, until so many events are recorded."""
        if events > 0:
            host = self.hosts[self.steps % len(self.hosts)]
            host.send("edit", f"{self.seed}/{self.steps}", events, organization)
            while_it_works()
            made, refused = host.answer()
            self.made, self.refused = self.made + made, self.refused + refused

    # --- Occasions ---

    def occasions(self):
        """Yield the day of each, with what happens and its arguments."""
        yield from ((40, self.receivers, "close"), (40.01, self.edit, 60), (40.25, self.receivers, "open"))
        yield from ((100, self.receivers, "answer", 1, 503), (100.01, self.edit, 20, 1))
        yield 101.25, self.receivers, "answer", 1, 204
        yield from ((220, self.receivers, "close", 2), (220.01, self.edit, 20, 2), (229, self.recover, 2, 12))
        for number, day in enumerate(SECRETS):
            yield from (
                (day, self.rotate, number % ORGANIZATIONS),
                (day + 1, self.change_secret, number % ORGANIZATIONS),
            )
        for day in KEYS:
            yield from ((day, self.add_key), (day + 2, self.end_older), (day + 2.5, self.forget_key))
        yield 140, self.fail_over
        yield from ((182, self.note_size), (183, self.upgrade), (185, self.end_older))

    def rotate(self, number):
        self.secret = self.host("rotate", number, OVERLAP)

    def change_secret(self, number):
        """Have the receiver verify with the new secret, while the old one is still valid."""
        self.receivers("change_secret", number, self.secret)

    def add_key(self):
        self.keys.insert(0, new_key())
        self.start_release()

    def forget_key(self):
        """Encrypt everything with the new key; the old one is not given to the next processes."""
        self.django("webhooks_reencrypt")
        self.keys = self.keys[:1]

    def recover(self, number, days):
        self.receivers("open", number)
        self.notes["disabled"] = self.host("recover", number, days)

    def fail_over(self):
        """Kill the primary while rows are saved and sent, and promote its standby."""

        def kill():
            time.sleep(0.1)
            self.primary.stop("immediate")
            self.standby.promote()

        begun_at = time.monotonic()
        self.notes["primary"] = cpu_of(self.primary.pid)
        self.edit(300, while_it_works=kill)
        self.settle()
        self.notes["failover"] = time.monotonic() - begun_at

    def upgrade(self):
        """Migrate with a new release, and start it beside the old one."""
        self.release = self.folder / "new"
        shutil.copytree(ROOT / "tms_webhooks", self.release / "tms_webhooks")
        for name in ("tests", "example_project"):
            (self.release / name).symlink_to(ROOT / name)
        version = self.release / "tms_webhooks" / "__init__.py"
        version.write_text(version.read_text().replace('__version__ = "', '__version__ = "9.'))
        (self.release / "tms_webhooks" / "migrations" / "0002_later.py").write_text(LATER)
        self.django("migrate", "--verbosity", "0")
        self.start_release()

    def note_size(self):
        self.notes["half"] = self.host("figures")

    # --- The end ---

    def compare(self):
        """Return what the program of each mirror prints that is not equal, and the rows of all mirrors."""
        self.start("runserver", "--noreload", "--skip-checks", self.mirrors[0].environment["TMS_API"].split("/")[2])
        wait_until(lambda: answers(self.api))
        printed = [line for mirror in self.mirrors for line in mirror.run("compare")]
        rows = Counter()
        for mirror in self.mirrors:
            ((objects, numbers),) = mirror.execute("SELECT COUNT(data), SUM(sequence) FROM mirror")
            ((seen, live),) = mirror.execute("SELECT COUNT(*), SUM(live) FROM seen")
            rows.update(objects=objects, numbers=numbers, seen=seen, live=live)
        return [line for line in printed if line != "The mirror is equal."], rows


def new_key():
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port):
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def wait_until(happened):
    end_at = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end_at:
            raise SystemExit("It took too long; see the log.")
        time.sleep(0.05)


def end(process, *, well=False):
    """End a process that was started here."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if well and process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}; see the log.")


def cpu_of(pid):
    """Return the CPU seconds of a process, and of its children, those that have ended included."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(status.parent.name) == pid:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == pid:
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


# --- The report ---


def checks(year, unequal, rows, counts, now):
    """Return what has to be so, and whether it is."""
    odd = {name: number for name, number in counts.items() if name.startswith("unverified") and name != OVERTAKEN}
    of_code = [name for name in counts if name.startswith("tms-webhooks/")]
    return {
        f"each mirror is equal: {rows['objects']:,} objects": not unequal,
        f"each of {now['numbers']:,} events came, in gap-free numbers": rows["live"]
        == rows["numbers"]
        == now["numbers"],
        f"each of {rows['seen']:,} deliveries counts as delivered once": now["delivered"] - counts["again"]
        == rows["seen"],
        f"none is open, given up or skipped: {now['statuses']}": not now["open"]
        and set(now["statuses"]) == {"delivered"},
        f"each signature was right: {odd or 'none was refused'}": not odd,
        "the clock overtook requests at fewer than one step in ten": counts[OVERTAKEN] < year.steps / 10,
        "the webhook that failed for 9 days was disabled": year.notes["disabled"] == "failing",
        f"both releases delivered: {', '.join(of_code)}": len(of_code) == 2,
        f"payloads are kept for 30 days, events for 90: {now['oldest'][0]:.1f}, {now['oldest'][1]:.1f}": (
            now["oldest"][0] < 31 and now["oldest"][1] < 91
        ),
    }


def large(figures):
    names = ("event", "delivery", "deliveryattempt", "deliverybody")
    return sum(figures["sizes"][f"tms_webhooks_{name}"] for name in names)


def predicted(figures, body):
    """Return the size of the large tables by docs/howto/scale.md: 4 KiB for an event of 2 KiB; pruning blanks its body."""
    return figures["events"] * 2_048 + figures["whole"] * body


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.year")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", default="1", help="another one makes other changes")
    options = parser.parse_args()
    # Each of them ends all processes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="tms-year-")))
        try:
            # A year of vacuuming is to fit into the hour.
            primary = ends.enter_context(server_of_its_own(synchronous_standby_names="*", autovacuum_naptime=5))
        except pytest.skip.Exception as absence:
            raise SystemExit(f"A year needs a PostgreSQL server of its own. {absence}") from None
        standby = ends.enter_context(server_of_its_own(primary, autovacuum_naptime=5))
        year = Year(folder, primary, standby, events=options.events, seed=options.seed, ends=ends)
        try:
            year.prepare()
            begun_at = time.monotonic()
            year.run()
            seconds = time.monotonic() - begun_at
            now, counts = year.host("figures"), sum(map(Counter, year.receivers("count")), Counter())
            begun_at = time.monotonic()
            unequal, rows = year.compare()
            compared = time.monotonic() - begun_at
            database = year.notes["primary"] + cpu_of(standby.pid)
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-20_000:])
            raise
    found, half = checks(year, unequal, rows, counts, now), year.notes["half"]
    body = counts["bytes"] / rows["seen"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "Events; steps of the clock": f"{now['numbers']:,}; {year.steps:,}",
        "Duration; events a second": f"{seconds / 60:.1f} min; {now['numbers'] / seconds:,.0f}",
        "The comparison of all mirrors": f"{compared:.1f} s",
        "CPU time of an event: app and receivers; both databases": (
            f"{(used.ru_utime + used.ru_stime) / now['numbers'] * 1e6:,.0f} µs; {database / now['numbers'] * 1e6:,.0f} µs"
        ),
        "Failover, until all was delivered; changes refused": f"{year.notes['failover']:.1f} s; {year.refused}",
        "Requests; sent again; overtaken by a move of the clock": (
            f"{counts['requests']:,}; {counts['again']:,}; {counts[OVERTAKEN]:,}"
        ),
        "Size of a body": f"{body:,.0f} bytes",
        **{
            f"Large tables {name}: size; by scale.md; ratio": (
                f"{large(one) / 1e6:,.0f} MB; {predicted(one, body) / 1e6:,.0f} MB; {large(one) / predicted(one, body):.2f}"
            )
            for name, one in (("after half a year", half), ("at the end", now))
        },
    }
    print("| | |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    for name, is_so in found.items():
        print(f"| {'Yes' if is_so else '**No**'} | {name} |")
    for line in unequal:
        print(line)
    return 0 if all(found.values()) else 1


BEGUN = time.monotonic()

if __name__ == "__main__":
    raise SystemExit(main())
