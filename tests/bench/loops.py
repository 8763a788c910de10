"""One way of sending a number of requests, in a process of its own: ``python -m tests.bench.loops WAY URL PORT COUNT THREADS``.

``drain`` sends what is in the database through the real worker loop; ``transport`` pushes as many signed requests
through the app's own client without any database; ``requests`` does it with a plain session, as one would by hand.
The last line is one JSON object: rate per second, and the processor time of a request in microseconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from tests.bench import environment


def main(way: str, url: str, port: int, count: int, threads: int) -> None:
    """Run one way and print what it took."""
    environment.prepare(url, port, SENDER_THREADS=threads, MAX_IN_FLIGHT=max(2, threads // 4))
    run = {"drain": _drain, "transport": _transport, "requests": _requests}[way](port, count, threads)
    cpu, start = time.process_time(), time.perf_counter()
    done = run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert done == count, f"{done} of {count}"
    print(json.dumps({"rate": count / seconds, "cpu_us": cpu / count * 1e6}))


def _drain(port: int, count: int, threads: int) -> Callable[[], int]:
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    drain = Drain(fan_out=fan_out)
    return lambda: drain.run(until_idle=True).delivered


def _transport(port: int, count: int, threads: int) -> Callable[[], int]:
    from django.utils import timezone

    from tests.bench.world import BODY
    from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest
    from tms_webhooks.models.webhook import new_secret
    from tms_webhooks.net.transports.client import Client
    from tms_webhooks.worker.send import send

    client = Client(pool_size=threads)
    endpoint = Endpoint(1, "POST", f"http://127.0.0.1:{port}/hook", {}, (new_secret(),), 20.0, "", None)
    request = OutgoingRequest(1, "evt_" + "0" * 32, 1, 0, is_manual=False, body=BODY.encode(), endpoint=endpoint)
    return lambda: _in_threads(threads, count, lambda: send(request, client=client, clock=timezone.now).outcome.success)


def _requests(port: int, count: int, threads: int) -> Callable[[], int]:
    import requests

    from tests.bench.world import BODY
    from tms_webhooks.delivery import signing
    from tms_webhooks.models.webhook import new_secret

    session = requests.Session()
    session.trust_env = False
    secret, body, message_id = new_secret(), BODY.encode(), "evt_" + "0" * 32

    def post() -> bool:
        headers = signing.signature_headers(
            secrets=[secret], message_id=message_id, timestamp=int(time.time()), body=body
        )
        headers |= {
            "content-type": "application/json",
            "user-agent": "bench",
            "tms-delivery-id": "1",
            "tms-attempt": "1",
        }
        return session.post(f"http://127.0.0.1:{port}/hook", data=body, headers=headers, timeout=(3, 15)).ok

    return lambda: _in_threads(threads, count, post)


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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
