"""The demo's comparison of a webhook with a poller, its receiver's copy of the objects, and the body that it prints."""

from example_project.demo.display import in_words
from example_project.demo.ledger import Arrival
from example_project.demo.poller import Poller, Watch
from example_project.demo.receiver import Mirror


def event(event_type="class.cancelled", *, number=1, code=2, **others):
    return {
        "id": f"evt_{number}",
        "type": event_type,
        "sequence": number,
        "data": {"id": 7, "status": {"code": code, "name": f"Status {code}"}},
        "changed": ["status"],
        "previous": {"status": {"code": 0, "name": "Scheduled"}},
        **others,
    }


def arrival(body, *, at=10.0, status=204):
    return Arrival(path="/shop", at=at, status=status, attempt=1, event=body)


# The comparison


def test_a_change_that_no_poll_saw_is_counted_and_has_no_delay():
    poller = Poller(port=1, key="")
    poller.requests = 4
    poller.seen = {("class", 7, 2): 10.5}
    requests = [(arrival(event(code=0), at=9.02), 9.0), (arrival(event(code=2), at=10.02), 10.0)]

    watch = poller.watch(requests)

    assert watch == Watch(changes=2, webhook_ms_p50=20.0, polls=4, seen=1, polling_ms_p50=500.0)
    assert in_words(watch) == (
        "2 status changes. Webhook: 2 requests, 20 ms after the commit (median).",
        "Poller, each second: 4 requests, 1 changes seen, 500 ms after the commit.",
    )


# The receiver's copy


def test_the_receiver_says_what_it_did_with_an_event():
    mirror = Mirror()

    assert mirror.store("/a", event(number=2)) == "stored class 7: Scheduled became Status 2"
    assert mirror.store("/a", event(number=1)) == "kept class 7: it has number 2, and this event is number 1"
    assert mirror.store("/b", event(number=1)) == "stored class 7: Scheduled became Status 2"
    assert mirror.store("/a", event("class.deleted", number=3)) == "removed class 7"
    assert mirror.store("/a", event("class.deleted", number=2)).startswith("kept class 7")
