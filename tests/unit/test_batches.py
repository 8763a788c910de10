"""Batches of several pieces of work alternate, until nothing is left or the time is over."""

from tms_webhooks.batches import after, run_alternately


def batches(name, rows, done):
    for count in rows:
        done.append(name)
        yield count


def test_they_alternate_until_each_is_done():
    done = []

    result = run_alternately({"a": batches("a", [5, 0, 5], done), "b": batches("b", [1], done), "c": iter(())})

    assert done == ["a", "b", "a", "a"]
    assert result == ({"a": 10, "b": 1, "c": 0}, True)


def test_no_batch_is_done_once_the_time_is_over():
    done = []
    answers = iter([False, False, True])

    result = run_alternately({"a": batches("a", [5, 5], done), "b": batches("b", [1, 1], done)}, stop=answers.__next__)

    assert done == ["a", "b"]
    assert result == ({"a": 5, "b": 1}, False)


def test_the_time_is_over_after_so_many_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("tms_webhooks.batches.monotonic", lambda: now[0])
    is_over = after(20.0)

    assert not is_over()
    now[0] = 119.9
    assert not is_over()
    now[0] = 120.0
    assert is_over()
