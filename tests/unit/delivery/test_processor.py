"""A process that gets little of the processor still knows that it asks for much."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from tms_webhooks.delivery import processor
from tms_webhooks.delivery.processor import asked_for


def test_who_waits_asks_for_nothing():
    before = asked_for()
    time.sleep(0.1)

    assert asked_for() - before < 0.09


def test_who_works_asks_for_all_that_there_is_however_little_others_leave():
    before, end = asked_for(), time.monotonic() + 0.2
    while time.monotonic() < end:
        pass

    assert asked_for() - before > 0.15


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who stands in line")
def test_time_in_line_is_counted_for_every_thread(tmp_path, monkeypatch):
    for task, waited in (("1", 2_000_000_000), ("2", 500_000_000)):
        (tmp_path / task).mkdir()
        (tmp_path / task / "schedstat").write_text(f"7 {waited} 3\n")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "schedstat").write_text("")
    monkeypatch.setattr(processor, "TASKS", tmp_path)

    assert processor._in_line() == 2.5


def test_where_the_system_does_not_tell_it_is_the_time_that_was_used(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "TASKS", tmp_path / "nowhere")

    assert abs(asked_for() - time.process_time()) < 0.05


def test_threads_that_end_meanwhile_do_no_harm():
    threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert asked_for() > 0
    for thread in threads:
        thread.join(5)
