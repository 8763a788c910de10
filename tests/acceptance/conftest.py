"""A real browser at the example project's own pages, and a Python with no more packages than the example needs."""

import os
import shutil
import subprocess
import threading

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection

from example_project.training.seed import seed
from tests.acceptance.browser import ARGUMENTS, PASSWORD, Desk
from tests.extras import python_with
from tests.patience import PATIENCE

CHROMIUM = "/usr/bin/chromium"
HEADLESS = "chromium-headless-shell"
"""The same browser without windows, from a package of its own. It takes a third less CPU time."""


@pytest.fixture(scope="session")
def demo_python(tmp_path_factory):
    """A Python with the packages of the group ``demo`` only, with which the README runs the example project."""
    return python_with("demo", tmp_path_factory.mktemp("demo_python"))


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory):
    """The folder of the npm packages that the JavaScript of the documents imports."""
    if not os.environ.get("CI"):
        pytest.skip("fetches npm packages; set CI=true to run it")
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "express", "standardwebhooks@1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm can't install them: {done.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium, headless. Not for the whole run: while it is open, no other event loop can run."""
    if connection.vendor != "sqlite":
        pytest.skip("What a browser shows does not depend on the database.")
    path = shutil.which(HEADLESS) or shutil.which("chromium") or CHROMIUM
    if not os.path.exists(path):
        if os.environ.get("TMS_REQUIRE_SERVICES") == "1":
            pytest.fail("There is no Chromium: apt-get install chromium.")
        pytest.skip("There is no Chromium: apt-get install chromium.")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # It runs an event loop in this thread, which Django takes for an asynchronous view.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def world(transactional_db):
    """A seeded training system."""
    return seed(organizations=2, password=PASSWORD)


@pytest.fixture
def one_request_at_a_time(monkeypatch):
    """Have the server answer one request after the other: on SQLite in memory, all its threads share one connection.

    Requests that a closed page left behind end before the tables are emptied.
    """
    lock, answer, is_over = threading.Lock(), WSGIHandler.__call__, threading.Event()

    def answer_alone(handler, environ, start_response):
        with lock:
            if is_over.is_set():
                start_response("503 Service Unavailable", [])
                return []
            return answer(handler, environ, start_response)

    monkeypatch.setattr(WSGIHandler, "__call__", answer_alone)
    yield
    with lock:
        is_over.set()


@pytest.fixture
def desk(chromium, world, live_server, one_request_at_a_time):
    """A signed-in operator at the pages, who finds no error in the browser's console."""
    desk = Desk(chromium, live_server.url)
    desk.remember(world.operator)
    yield desk
    desk.close()
    assert desk.complaints == []
