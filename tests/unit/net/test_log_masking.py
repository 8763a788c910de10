"""urllib3's log shows no path of a webhook's URL, and the full path of the host's own requests."""

from __future__ import annotations

import logging
import threading

import pytest

from tms_webhooks.net.log_masking import LOGGER, masked_paths


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    return caplog


def log(path: str) -> None:
    logging.getLogger(LOGGER).debug('%s "%s %s" %s', "https://example.com:443", "POST", path, 200)


def test_inside_the_block_paths_are_masked_and_after_it_they_are_not(logged: pytest.LogCaptureFixture) -> None:
    log("/before")
    with masked_paths():
        log("/hook?key=secret")
    log("/after")

    paths = [message.split()[2] for message in logged.messages]
    assert paths == ['/before"', '/…"', '/after"']


def test_paths_of_another_thread_are_not_masked(logged: pytest.LogCaptureFixture) -> None:
    with masked_paths():
        other = threading.Thread(target=log, args=("/mine",))
        other.start()
        other.join()

    assert "/mine" in logged.messages[0]
