"""One way of sending a number of requests, in a process of its own: ``python -m tests.bench.loops WAY COUNT …``.

``drain COUNT [SECONDS]`` delivers the events of the database through the real worker loop; ``requests COUNT THREADS`` sends as
many signed requests with a plain session, as one would by hand. The port is the first of ``TMS_DEMO_PORTS``. The last line
is one JSON object: the requests that were answered, the seconds that they took, their rate per second, and the processor
time of one in microseconds. With PostgreSQL on this machine, ``database_us`` is that of the connection's server process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import django

MESSAGE_ID = "evt_" + "0" * 32


def main(way: str, count: int, *options: float) -> None:
    """Run one way and print its figures."""
    run = WAYS[way](count, *options)
    cpu, start = time.process_time(), time.perf_counter()
    done = run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert done, "no request was answered"
    assert done == count or way == "drain", f"{done} of {count}"
    figures = {"done": done, "seconds": seconds, "rate": done / seconds, "cpu_us": cpu / done * 1e6}
    print(json.dumps(figures | {"database_us": _server_cpu() / done * 1e6}))


def _server_cpu() -> float:
    """Return the CPU time of the server process of this connection in seconds; 0 where it has none on this machine."""
    from django.db import connection

    if connection.vendor != "postgresql" or connection.connection is None:
        return 0.0
    stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat")
    # User and system time, in ticks: proc(5).
    return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def _drain(count: int, seconds: float | None = None) -> Callable[[], int]:
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    drain = Drain(fan_out=fan_out)

    def run() -> int:
        delivered = drain.run(until_idle=True, seconds=seconds).delivered
        assert delivered == count or seconds is not None, f"{delivered} of {count}"
        return delivered

    return run


def _requests(count: int, threads: float) -> Callable[[], int]:
    import requests

    session = requests.Session()
    session.trust_env = False
    headers_of, body = _signed_headers(), _body()

    def post() -> bool:
        return session.post(_url(), data=body, headers=headers_of(), timeout=(3, 15)).ok

    return lambda: _in_threads(int(threads), count, post)


def _signed_headers() -> Callable[[], dict[str, str]]:
    from tms_webhooks.delivery import signing
    from tms_webhooks.models.webhook import new_secret

    secret, body = new_secret(), _body()

    def headers() -> dict[str, str]:
        signed = signing.signature_headers(
            secrets=[secret], message_id=MESSAGE_ID, timestamp=int(time.time()), body=body
        )
        others = {"content-type": "application/json", "user-agent": "bench", "tms-delivery-id": "1", "tms-attempt": "1"}
        return signed | others

    return headers


def _body() -> bytes:
    from tests.bench.world import BODY

    return BODY.encode()


def _url() -> str:
    return f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS'].split(',')[0]}/hook"


def _in_threads(threads: int, count: int, once: Callable[[], bool]) -> int:
    done = []

    def work(share: int) -> None:
        done.append(sum(once() for _ in range(share)))

    shares = [count // threads + (number < count % threads) for number in range(threads)]
    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done)


WAYS: dict[str, Callable[..., Callable[[], int]]] = {"drain": _drain, "requests": _requests}

if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
