"""The shared parts of the browser tests: a signed-in user, accessibility checks, and screenshots."""

import os
from itertools import product
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings
from django.test import Client

from tests.patience import PATIENCE

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery staple"
PICTURES = Path(__file__).resolve().parents[2] / "artefacts" / "screenshots"
TAKES_PICTURES = os.environ.get("TMS_PICTURES") == "1"
WIDE, NARROW = 1280, 390
# The rest of the page, which is Django's: links in a line of links, and a search box whose label is an icon.
OURS = {"exclude": [[".breadcrumbs"], ["#toolbar"], [".select2"]]}
IS_TOO_WIDE = """(narrow) => [document.documentElement, ...document.querySelectorAll("#content *")].some((one) =>
    one.scrollWidth > one.clientWidth &&
    (one === document.documentElement ||
        (innerWidth === narrow && ["auto", "scroll"].includes(getComputedStyle(one).overflowX))))"""
FIND_FAULTS = """async (context) =>
    (await axe.run(context, {resultTypes: ["violations"], preload: false})).violations"""
"""Without a copy of each style sheet, which only a rule for videos and sounds would read."""
GRAVE = ("serious", "critical")

Page = Any


class Desk:
    """A person at a browser. ``page`` is Playwright's."""

    def __init__(self, browser, address, **options):
        self.address = address
        self.context = browser.new_context(
            base_url=address, viewport={"width": WIDE, "height": 900}, reduced_motion="reduce", **options
        )
        self.context.set_default_timeout(1_000 * PATIENCE)
        # The example project has none, and every browser asks.
        self.context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, kind, text):
        if kind == "error":
            self.complaints.append(text)

    def open(self, path):
        """Open a page of the site."""
        self.page.goto(path, wait_until="load")
        return self.page

    def sign_in(self, username, *, at="/admin/", password=PASSWORD):
        """Sign in at the login to which this page leads."""
        page = self.open(at)
        page.fill("#id_username", username)
        page.fill("#id_password", password)
        self.follow("input[type=submit]")

    def follow(self, link):
        """Click on this, which leads to another page, and wait until that page and its scripts are loaded."""
        with self.page.expect_navigation():
            self.page.click(link)

    def remember(self, user):
        """Sign in without the login page: with the cookie of a session."""
        client = Client()
        client.force_login(user)
        cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}
        self.context.add_cookies([{**cookie, "url": self.address}])

    def unfold(self, *names):
        """Open these folds of the form of a webhook."""
        for name in names:
            self.page.click(f"#tms-fold-{name} > summary")

    def save(self):
        """Press the form's own button, and wait for the next page."""
        self.follow("input[name=_save] >> nth=-1")

    def faults(self):
        """Return the serious and critical findings of axe-core on the page, with their elements."""
        # Django's buttons and links change their colors within a moment.
        self.page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate(FIND_FAULTS, OURS)
        return [
            f"{one['impact']}: {one['id']} ({one['help']}) at {[node['target'] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in GRAVE
        ]

    def is_too_wide(self):
        """Return whether the page, or a part of it on a narrow screen, has to be scrolled sideways."""
        return bool(self.page.evaluate(IS_TOO_WIDE, NARROW))

    def looks(self, *, width=WIDE, dark=False):
        """Make the window so wide, light or dark."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme="dark" if dark else "light")

    def inspect(self, name):
        """Fail if the page is too wide, or axe-core finds a problem: in light when wide, and in dark when narrow.

        Colors depend on the one and places on the other, so these two looks find all. With ``TMS_PICTURES=1``, a picture of
        the page in all four looks is saved.
        """
        for width, dark in product((WIDE, NARROW), (False, True)):
            is_checked = dark is (width == NARROW)
            if is_checked or TAKES_PICTURES:
                self.looks(width=width, dark=dark)
            if TAKES_PICTURES:
                PICTURES.mkdir(parents=True, exist_ok=True)
                path = PICTURES / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                self.page.screenshot(path=path, full_page=True)
            if is_checked:
                assert not self.is_too_wide(), (name, width)
                faults = self.faults()
                assert not faults, f"{name} {width} {dark}: {faults}"
        self.looks()

    def close(self):
        """Close the window."""
        self.context.close()
