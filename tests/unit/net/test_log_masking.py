"""What urllib3 logs of a webhook's request shows no path; what it logs of a host's own is left as it is."""

from __future__ import annotations

import logging
import threading

import pytest

from tms_webhooks.net.urls import LOGGER, quietly


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    return caplog


def log(path: str) -> None:
    logging.getLogger(LOGGER).debug('%s "%s %s" %s', "https://example.com:443", "POST", path, 200)


def test_inside_the_block_paths_are_masked_and_after_it_they_are_not(logged: pytest.LogCaptureFixture) -> None:
    log("/before")
    with quietly():
        log("/hook?key=secret")
    log("/after")

    paths = [message.split()[2] for message in logged.messages]
    assert paths == ['/before"', '/…"', '/after"']


def test_a_host_that_sends_in_another_thread_meanwhile_sees_its_paths(logged: pytest.LogCaptureFixture) -> None:
    with quietly():
        other = threading.Thread(target=log, args=("/mine",))
        other.start()
        other.join()

    assert "/mine" in logged.messages[0]
