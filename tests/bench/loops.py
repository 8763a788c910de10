"""Two ways of sending a number of requests, in a process of its own: the worker loop, and a plain session."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

MESSAGE_ID = "evt_" + "0" * 32


def _measured(run):
    """Return the requests that are answered in a second, and the CPU time of one in microseconds.

    With PostgreSQL on this machine, ``database_us`` is that of the connection's server process.
    """
    cpu, start = time.process_time(), time.perf_counter()
    done = run()
    assert done, "no request was answered"
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"rate": done / seconds, "cpu_us": cpu / done * 1e6, "database_us": _server_cpu() / done * 1e6}


def _server_cpu():
    """Return the CPU time of the server process of this connection in seconds; 0 where it has none on this machine."""
    from django.db import connection

    if connection.vendor != "postgresql" or connection.connection is None:
        return 0.0
    stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat")
    # User and system time, in ticks: proc(5).
    return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def drain(count, seconds=None):
    """Deliver the events of the database through the worker loop."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    worker = Drain(fan_out=fan_out)

    def run():
        delivered = worker.run(until_idle=True, seconds=seconds).delivered
        assert delivered == count or seconds is not None, f"{delivered} of {count}"
        return delivered

    return _measured(run)


def requests(count, threads):
    """Send as many signed requests with a plain session, as one would by hand, to the first port of ``TMS_DEMO_PORTS``."""
    from requests import Session

    session = Session()
    session.trust_env = False
    headers_of, body = _signed_headers(), _body()

    def post():
        return session.post(_url(), data=body, headers=headers_of(), timeout=(3, 15)).ok

    def run():
        done = _in_threads(threads, count, post)
        assert done == count, f"{done} of {count}"
        return done

    return _measured(run)


def _signed_headers():
    from tms_webhooks.delivery import signing
    from tms_webhooks.models.webhook import new_secret

    secret, body = new_secret(), _body()

    def headers():
        signed = signing.signature_headers(
            secrets=[secret], message_id=MESSAGE_ID, timestamp=int(time.time()), body=body
        )
        others = {"content-type": "application/json", "user-agent": "bench", "tms-delivery-id": "1", "tms-attempt": "1"}
        return signed | others

    return headers


def _body():
    from tests.bench.world import BODY

    return BODY.encode()


def _url():
    return f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS'].split(',')[0]}/hook"


def _in_threads(threads, count, once):
    done = []

    def work(share):
        done.append(sum(once() for _ in range(share)))

    shares = [count // threads + (number < count % threads) for number in range(threads)]
    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done)
