"""The page of symptoms has each status and error, and documents name checks that exist."""

import re

from tests.claims import ROOT, pages
from tests.each import each
from tms_webhooks.choices import DeliveryStatus, ErrorClass

PAGE = (ROOT / "docs" / "howto" / "troubleshooting.md").read_text(encoding="utf-8")
CHECK = re.compile(r"\b(?:tms_webhooks\.)?([EWI]\d{3})\b")


@each([*ErrorClass.values, *DeliveryStatus.values])
def test_each_status_and_error_has_a_remedy(value):
    first_cells = " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))

    assert value == DeliveryStatus.DELIVERED or f"`{value}`" in first_cells


@each(pages())
def test_the_checks_of_a_page_exist(page):
    known = CHECK.findall((ROOT / "docs" / "reference" / "checks.md").read_text(encoding="utf-8"))
    assert set(CHECK.findall(page.read_text(encoding="utf-8"))) <= {*known}
