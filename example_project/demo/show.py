"""Run the demo, from the migration of its database to the verdict."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from django.core.management import call_command
from django.utils import timezone

from example_project.demo import cast, incidents, scenes
from example_project.demo.day import Day
from example_project.demo.display import Display, in_words
from example_project.demo.environment import free_port, receiver_port
from example_project.demo.incidents import Failed, wait_until
from example_project.demo.ledger import Arrival, Endpoint
from example_project.demo.poller import Poller, Watch
from example_project.demo.processes import Child, Cluster, ReceiverProcess, Server
from example_project.demo.verdict import Verdict, judge
from example_project.training.models import ApiKey
from example_project.training.seed import World, seed
from tms_webhooks.models import Delivery, DrainSlot

LONGEST_STOP = 30.0
"""Seconds within which the cluster must stop after SIGTERM."""


class Show:
    """One run of the demo, with its files in ``folder``. Use it in a ``with`` block, which stops its processes."""

    world: World
    receiver: ReceiverProcess
    cluster: Cluster
    watch: Watch | None = None
    """The comparison of a webhook with a poller."""

    def __init__(self, display: Display, *, folder: Path) -> None:
        self.display = display
        self.ledger = display.ledger
        self.folder = folder
        self._children = ExitStack()
        self._problems: list[str] = []
        self._server_port = free_port()

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *_error: object) -> None:
        self._children.close()

    def run(self, *, password: str | None = None, stop: bool = True) -> Verdict:
        """Run all scenes and return the verdict. Administrators can sign in with ``password``.

        With ``stop``, the cluster is stopped at the end, as in a deployment.
        """
        self.ledger.listener = self._first_arrival
        try:
            self._set_up(password)
            self._play()
        except Failed as failure:
            self._problems.append(str(failure))
        if stop and hasattr(self, "cluster"):
            self._stop_cluster()
        return judge(self.ledger, watch=self.watch, seconds=self.display.seconds, problems=self._problems)

    @property
    def url(self) -> str:
        """The address of the web server, which runs until the end."""
        return f"http://127.0.0.1:{self._server_port}"

    def _set_up(self, password: str | None) -> None:
        with self.display.scene("A fresh SQLite file is migrated") as scene:
            call_command("migrate", verbosity=0, interactive=False)
            scene.detail = os.path.relpath(self.folder)
        with self.display.scene("Two organizations create webhooks, and a verifying receiver starts"):
            self.world = seed(password=password)
            port = receiver_port(os.environ)
            self.ledger.endpoints = cast.set_up(self.world.tenants, port=port)
            self.receiver = ReceiverProcess(
                port=port,
                secrets={endpoint.path: endpoint.secret for endpoint in self.ledger.endpoints},
                hear=self.ledger.receive,
                log=self.folder / "receiver.log",
            )
            self._keep(self.receiver)
        with self.display.scene("A web server and a django-q2 cluster start"):
            self._keep(Server(port=self._server_port, log=self.folder / "server.log"))
            self._start_cluster()
            wait_until(self._is_drained, "the cluster to start its work")

    def _play(self) -> None:
        first, second = days = [Day(self.ledger, tenant) for tenant in self.world.tenants]
        crm = self._endpoint(cast.CRM)
        with self.display.scene("A worker scans for training and vouchers that expire soon"):
            incidents.first_scan(days, self.ledger)
        over_at = incidents.nearly_over(days)
        self._ordinary_day(first)
        with self.display.scene("Transactions are rolled back") as scene:
            scene.detail = incidents.rollback(days)
        with self.display.scene("Warehouse asks for the objects that exist: a snapshot") as scene:
            scene.detail = incidents.start_snapshot(first, self._endpoint(cast.WAREHOUSE))
        incidents.outage(first, self.receiver, crm)
        with self.display.scene(f"A day at {second.tenant.organization.name}, also seen by a poller") as scene:
            scene.detail = self._watched_day(second)
        with self.display.scene("The snapshot is complete"):
            incidents.snapshot_ends(self.ledger)
        with self.display.scene("Training is extended, cancelled and deleted, and accounts are merged and closed"):
            for part in (scenes.results, scenes.undone, scenes.corrected, scenes.accounts, scenes.referenced):
                part(first)
        with self.display.scene("Objects go to another organization, and come back"):
            scenes.moved(first, second)
        with self.display.scene("Time passes, and training expires"):
            wait_until(lambda: time.monotonic() > over_at, "time to pass")
            incidents.second_scan(days)
            self._everything_arrives()
        with self.display.scene("A receiver fails twice and recovers") as scene:
            scene.detail = incidents.recovery(self.ledger, crm)
            self._everything_arrives()
        with self.display.scene("A receiver fails until its webhook is disabled, and is repaired") as scene:
            scene.detail = incidents.repair(first, self.receiver, self._endpoint(cast.ARCHIVE))
            self._everything_arrives()
        with self.display.scene("The whole cluster is killed while it sends") as scene:
            scene.detail = incidents.kill(days, self.ledger, self.receiver, self.cluster)
        with self.display.scene("The cluster is started again, and no event is lost") as scene:
            self._start_cluster()
            scene.detail = f"everything had arrived after {self._everything_arrives():.1f} s"

    def _first_arrival(self, arrival: Arrival) -> None:
        """Show the first request, and no further one."""
        self.ledger.listener = None
        self.display.first_arrival(arrival)

    def _ordinary_day(self, day: Day) -> None:
        with self.display.scene(f"An ordinary day at {day.tenant.organization.name}"):
            scenes.ordinary_day(day)

    def _watched_day(self, day: Day) -> str:
        """Play a day with a poller, and compare what it saw with the requests of the organization's webhook."""
        shop, start = self._endpoint(cast.SHOP), time.time()
        _key, clear = ApiKey.objects.create_key(name="Poller", organization=day.tenant.organization)
        poller = Poller(port=self._server_port, key=clear)
        wait_until(poller.can_connect, "the web server")
        poller.start()
        scenes.ordinary_day(day)
        poller.finish()
        wait_until(lambda: self.ledger.compare().complete, "the events of the day")
        pairs = [pair for pair in self.ledger.compare().pairs if pair.endpoint is shop]
        committed = ((pair.arrival, pair.expected.moment.committed_at) for pair in pairs)
        self.watch = poller.watch((one, at) for one, at in committed if one and at and at >= start)
        return " ".join(in_words(self.watch))

    def _everything_arrives(self) -> float:
        seconds = wait_until(lambda: self.ledger.compare().complete, "the expected events")
        # The worker stores the answer shortly after the receiver got the request.
        wait_until(lambda: not Delivery.objects.open().exists(), "the log of deliveries")
        return seconds

    def _is_drained(self) -> bool:
        if self.cluster.process.poll() is not None:
            raise Failed(f"The cluster exited; see {self.folder / 'cluster.log'}.")
        return DrainSlot.objects.held_until(timezone.now()) is not None

    def _endpoint(self, part: cast.Part) -> Endpoint:
        return next(endpoint for endpoint in self.ledger.endpoints if endpoint.path == part.path)

    def _start_cluster(self) -> None:
        self.cluster = Cluster(log=self.folder / "cluster.log")
        self._keep(self.cluster)

    def _stop_cluster(self) -> None:
        with self.display.scene("The cluster is stopped by SIGTERM") as scene:
            seconds = self.cluster.stop(seconds=LONGEST_STOP)
            if seconds is None:
                self._problems.append(f"The cluster did not stop within {LONGEST_STOP:g} s of SIGTERM.")
            else:
                scene.detail = f"it took {seconds:.1f} s"

    def _keep(self, child: Child) -> None:
        self._children.callback(child.kill)
