"""A process that gets little CPU time still knows how much it wants."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from tms_webhooks.worker import sender_pool
from tms_webhooks.worker.sender_pool import cpu_seconds_wanted


def test_a_sleeping_process_wants_no_cpu_time():
    before = cpu_seconds_wanted()
    time.sleep(0.1)

    assert cpu_seconds_wanted() - before < 0.09


def test_a_working_process_wants_all_cpu_time_however_little_it_gets():
    before, end = cpu_seconds_wanted(), time.monotonic() + 0.2
    while time.monotonic() < end:
        pass

    assert cpu_seconds_wanted() - before > 0.15


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux reports how long threads wait for a processor"
)
def test_time_waited_for_a_processor_is_counted_for_every_thread(tmp_path, monkeypatch):
    for task, waited in (("1", 2_000_000_000), ("2", 500_000_000)):
        (tmp_path / task).mkdir()
        (tmp_path / task / "schedstat").write_text(f"7 {waited} 3\n")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "schedstat").write_text("")
    monkeypatch.setattr(sender_pool, "SCHEDULER_STATS", tmp_path)

    assert sender_pool._cpu_seconds_waited() == 2.5


def test_without_scheduler_stats_it_is_the_cpu_time_used(tmp_path, monkeypatch):
    monkeypatch.setattr(sender_pool, "SCHEDULER_STATS", tmp_path / "nowhere")

    assert abs(cpu_seconds_wanted() - time.process_time()) < 0.05


def test_threads_that_end_while_they_are_measured_do_no_harm():
    threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert cpu_seconds_wanted() > 0
    for thread in threads:
        thread.join(5)
