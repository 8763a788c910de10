"""The form of a webhook in a real browser: by mouse, by keyboard, without JavaScript, in every light."""

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from tests.acceptance.browser import NARROW, Desk
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import from_text, to_text
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.slow

ADD = "/admin/tms_webhooks/webhook/add/"

DISTANCES = """() => Object.fromEntries(
    [...document.querySelectorAll(".tms-fold :is(input, select, textarea)")].filter((one) => one.offsetWidth).map((one) => {
        const [inner, outer] = [one, one.closest(".tms-fold")].map((box) => box.getBoundingClientRect());
        return [one.id || one.className, [inner.left - outer.left, outer.right - inner.right]];
    }))"""
"""The distances of each visible input of the sections to the left and the right border of its section, in pixels."""


def event(name):
    """Return the selector of an event's box."""
    return f"[data-tms-event='{name}'] input"


def line(prefix, part=""):
    """Return the selector of a part of the line of a selected event."""
    return f"[data-tms-prefix='{prefix}'] {part}"


def test_selected_events_are_counted_filtered_and_previewed(desk):
    page = desk.open(ADD)
    assert page.inner_text("[data-tms-count]") == "No events selected"

    page.fill("#tms-event-search", "expir")
    assert page.locator("[data-tms-group]:visible").count() == 3
    page.check(event("course_assignment.expiring"))
    page.fill("#tms-event-search", "")
    page.click("summary:has-text('Voucher')")
    page.check(event("voucher.redeemed"))
    assert page.inner_text("[data-tms-count]") == "2 events selected"

    desk.unfold("content")
    page.select_option("#id_format", "custom")
    page.select_option("#tms-preview-event", "course_assignment.expiring")
    page.fill("#id_content", '{"left": }')
    # Each preview replaces the list of tokens: this is the last one.
    page.locator(".tms-request pre", has_text='{"left": }').wait_for()
    page.evaluate("document.getElementById('id_content').setSelectionRange(9, 9)")
    page.click(".tms-tokens summary")
    page.click("button:text-is('{details.days_left}')")
    page.wait_for_function("document.querySelector('.tms-request pre')?.textContent.includes('\"left\": 27.5')")
    desk.inspect("form-chosen")


def test_all_mistakes_are_shown_beside_their_fields_and_nothing_is_lost(desk, world):
    page = desk.open(ADD)
    page.fill("#id_name", "HR system")
    page.fill("#id_url", "http://10.0.0.1/hook")
    desk.unfold("request", "retries")
    page.fill("#id_headers", "Authorization=Basic aHVudGVyMg==")
    page.select_option("#id_schedule", "own")
    page.fill("#id_own_delays", "soon")
    desk.unfold("retries")
    page.click("summary:has-text('Course assignment')")
    page.check(event("course_assignment.expiring"))
    desk.save()

    for row in (".field-organization", ".field-url", ".field-schedule"):
        assert page.is_visible(f"{row} .errorlist")
    assert page.locator(".tms-errors a").all_inner_texts() == ["Organization", "URL", "Schedule", "HTTP headers"]
    # The folds with errors are open, and the focus is on the first error.
    assert [page.get_attribute(f"#tms-fold-{name}", "open") for name in ("retries", "request", "delivery")] == [
        "",
        "",
        None,
    ]
    assert page.evaluate("document.activeElement.id") == "id_organization"
    desk.unfold("retries")
    page.click(".tms-errors a:text-is('Schedule')")
    assert page.evaluate("document.activeElement.id") == "id_schedule"
    assert page.input_value("#id_headers") == "Authorization=…"
    assert page.is_checked(event("course_assignment.expiring"))
    desk.inspect("form-mistakes")

    page.select_option("#id_organization", str(world.tenants[0].organization.pk))
    page.fill("#id_url", "https://hr.example.com/hook")
    page.select_option("#id_schedule", "standard")
    page.fill("#id_headers", "Authorization=Basic aHVudGVyMg==")
    desk.save()
    page.wait_for_url(re.compile(r"/secret/$"))
    assert reveal(Webhook.objects.get().headers) == "Authorization=Basic aHVudGVyMg=="
    assert Subscription.objects.get().event_type == "course_assignment.expiring"


def test_only_the_fields_of_the_selected_authentication_are_shown(desk, world):
    page = desk.open(ADD)
    shown = "document.querySelectorAll('[data-tms-authentication]')"
    names = f"Array.from({shown}).filter((field) => field.offsetParent).map((field) => field.name)"
    assert page.evaluate(names) == []

    desk.unfold("request")
    page.select_option("#id_authentication", "oauth2")
    assert page.evaluate(names) == [
        "auth_token_url",
        "auth_client_id",
        "auth_client_secret",
        "auth_scope",
        "auth_audience",
        "auth_client_authentication",
    ]
    page.select_option("#id_authentication", "basic")
    assert page.evaluate(names) == ["auth_username", "auth_password"]
    desk.inspect("authentication")


def test_a_password_is_masked_while_it_is_typed_until_it_is_shown(desk, world, webhook):
    Webhook.objects.update(authentication="basic", credentials=to_text({"username": "crm", "password": "hunter2"}))
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    desk.unfold("request")
    assert not page.is_visible(".tms-reveal")

    # The first key replaces the dots.
    page.focus("#id_auth_password")
    page.keyboard.type("hunter3")
    assert page.get_attribute("#id_auth_password", "type") == "password"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.get_attribute("#id_auth_password", "type") == "text"
    assert page.inner_text(".tms-reveal") == "Hide"
    desk.save()
    assert from_text(reveal(Webhook.objects.get().credentials))["password"] == "hunter3"


def test_each_format_shows_what_is_sent_where_the_content_is_looked_for(desk):
    page = desk.open(ADD)
    desk.unfold("content")

    for name, is_editable in (("standard", False), ("custom", True), ("skillable", False)):
        page.select_option("#id_format", name)
        assert page.is_visible(".field-content label")
        assert page.is_visible("#id_content") == is_editable
    page.locator(".tms-request pre", has_text='"EventType"').wait_for()


def test_the_object_of_a_test_is_selected_by_its_name(desk, world, receiver):
    tenant = world.tenants[0]
    found = tenant.classes.training_class
    webhook = WebhookFactory(organization=tenant.organization, url=f"{receiver.url}/hook", events=["class.*", "user.*"])
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/overview/test/")
    page.select_option("#id_event_type", "webhook.test")
    assert not page.is_visible(".tms-picker")
    page.select_option("#id_event_type", "class.cancelled")

    page.focus(".tms-picker")
    page.keyboard.type(found.name)
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    desk.follow("button[type=submit]:text-is('Send it')")

    assert receiver.received[0].event["data"]["id"] == found.pk
    # The name is still there for the next test; another kind of object begins without one.
    assert page.locator(".tms-chip", has_text=found.name).inner_text().strip() == found.name
    page.select_option("#id_event_type", "user.updated")
    assert page.locator(".tms-chip").count() == 0


@pytest.fixture
def webhook(world):
    return WebhookFactory(organization=world.tenants[0].organization, name="CRM", events=["class.cancelled"])


def test_a_new_webhook_is_filtered_by_names_with_the_keyboard_alone(desk, world):
    tenant = world.tenants[0]
    training_class = tenant.classes.training_class
    page = desk.open(ADD)
    page.fill("#id_name", "CRM")
    page.select_option("#id_organization", str(tenant.organization.pk))
    page.fill("#id_url", "https://crm.example.com/hook")
    page.fill("#tms-event-search", "class.cancelled")
    box = page.locator(event("class.cancelled"))
    page.focus(event("class.cancelled"))
    before = box.bounding_box()["y"]
    page.keyboard.press("Space")
    assert page.inner_text(line("class.cancelled", "td >> nth=0")) == "allAdd filter"
    # The new line above does not move the box away from the pointer.
    assert abs(box.bounding_box()["y"] - before) < 2

    page.focus(line("class.cancelled", ".tms-add"))
    page.keyboard.press("Enter")
    focused = "document.activeElement.textContent"
    page.wait_for_function(f"{focused} === 'Course'")
    desk.inspect("form-filter-menu")
    page.keyboard.press("Enter")
    page.keyboard.type(training_class.course.name)
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    page.keyboard.press("ArrowDown")
    desk.inspect("form-filter-search")
    page.keyboard.press("Enter")
    page.click(".tms-add-filter > summary")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "Class"
    page.keyboard.press("Enter")
    page.keyboard.type(str(training_class.pk))
    page.keyboard.press("Enter")
    page.locator(".field-class .tms-chip", has_text=training_class.name).wait_for()
    assert page.locator(".tms-filter").count() == 2
    desk.inspect("form-filter-chosen")
    desk.save()
    page.wait_for_url(re.compile(r"/secret/$"))

    one = Subscription.objects.get()
    assert one.filters == {"course": [training_class.course_id], "class": [training_class.pk]}
    page = desk.open(f"/admin/tms_webhooks/webhook/{one.webhook.public_id}/change/")
    chips = page.locator(".tms-chip").all_inner_texts()
    assert chips == [f"Course: {training_class.course.name}", f"Class: {training_class.name}"]
    desk.inspect("form-filter-saved")
    page.click(".tms-chip .tms-x >> nth=0")
    page.wait_for_selector(".field-class .tms-chip")
    desk.save()
    assert Subscription.objects.get().filters == {"class": [training_class.pk]}


def test_a_line_is_busy_while_its_filters_load_and_says_if_they_do_not(desk, webhook):
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    row = line(webhook.subscriptions.get().public_id)
    page.evaluate(
        "() => { window.real = fetch; window.fetch = () => new Promise((_, reject) => { window.fail = reject; }); }"
    )

    page.click(f"{row} .tms-add")
    page.wait_for_selector(f"{row.strip()}[aria-busy=true]")
    page.evaluate("() => { window.fail(); window.fetch = window.real; }")
    page.wait_for_selector(f"{row} [role=alert]")
    assert page.get_attribute(row.strip(), "aria-busy") is None
    page.click(f"{row} .tms-add")
    page.wait_for_selector(f"{row} .tms-parts button")
    assert page.locator(f"{row} [role=alert]").count() == 0


def test_an_event_is_selected_again_and_removed(desk, webhook):
    one = webhook.subscriptions.get()
    Subscription.objects.update(filters={"actor_kind": ["api"]})
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")

    page.click(".tms-again")
    page.click("button:text-is('Caused by')")
    page.check("text=Administrator")
    page.check(line(one.public_id, "[name=removed]"), force=True)
    desk.save()

    assert Subscription.objects.get().filters == {"actor_kind": ["administrator"]}


def test_two_hundred_lines_are_a_table_that_scrolls(desk, webhook):
    rows = [Subscription(webhook=webhook, event_type="class.updated", filters={"class": [key]}) for key in range(199)]
    Subscription.objects.bulk_create(rows)
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")

    assert page.locator("[data-tms-lines] tbody tr").count() == 200
    for width in (1280, NARROW):
        desk.looks(width=width)
        assert page.evaluate("document.documentElement.scrollHeight") < 4_000
    desk.inspect("form-200")


def test_without_scripts_filters_are_fields_behind_a_link(chromium, world, live_server, one_request_at_a_time, webhook):
    desk = Desk(chromium, live_server.url, java_script_enabled=False)
    desk.remember(world.operator)
    desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    one = webhook.subscriptions.get()

    desk.follow(line(one.public_id, ".tms-add"))
    desk.page.fill(f"#id_{one.public_id}-course", "7")
    desk.page.check(f"#id_{one.public_id}-first_occurrence")
    desk.save()

    assert Subscription.objects.get().filters == {"course": [7], "first_occurrence": True}
    desk.close()


def test_it_can_be_filled_in_by_keyboard_alone(desk):
    page = desk.open(ADD)

    page.focus("#tms-event-search")
    page.keyboard.type("class.denied")
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[data-tms-event]')?.dataset.tmsEvent") == "class.denied":
            break
    page.keyboard.press("Space")

    assert page.is_checked(event("class.denied"))
    assert page.inner_text("[data-tms-count]") == "1 event selected"
    # Enter in the search is no click on "Save".
    assert page.url.endswith(ADD)


PLACE = """() => {
    const [one, box] = [document.activeElement, document.activeElement.getBoundingClientRect()];
    return { name: one.id || one.name || one.textContent.trim(), left: box.left, right: box.right,
        top: box.top + scrollY, bottom: box.bottom + scrollY };
}"""
"""Where the focus is on the page."""


def test_tab_follows_the_page_through_folds_pickers_and_chips(desk, world, webhook):
    found, one = world.tenants[0].classes.training_class, webhook.subscriptions.get()
    Subscription.objects.update(filters={"class": [found.pk, 987654]})
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/?filters={one.public_id}")
    desk.unfold("retries", "request", "content", "delivery", "security")

    page.focus("#id_name")
    places = [page.evaluate(PLACE)]
    while places[-1]["name"] != "_save":
        page.keyboard.press("Tab")
        places.append(page.evaluate(PLACE))
        assert len(places) < 150, places

    names = [place["name"] for place in places]
    # Each next place is below or in the same line, unless it is in a column further to the right.
    assert [
        (before["name"], after["name"])
        for before, after in pairwise(places)
        if after["bottom"] <= before["top"] and after["left"] <= before["right"]
    ] == []
    start = names.index(f"id_{one.public_id}-class-picker")
    # The chips are before their search box, and the button that removes the filter is behind it.
    assert names[start - 2 : start + 2] == ["", "", f"id_{one.public_id}-class-picker", ""]
    for name in ("id_schedule", "id_contacts", "id_headers", "id_format", "tms-preview-subject-picker", "id_audience"):
        assert name in names


def test_an_error_in_a_closed_fold_opens_it_and_enter_saves(desk, webhook):
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    page.focus("#tms-fold-retries > summary")
    page.keyboard.press("Enter")
    page.focus("#id_contacts")
    page.keyboard.type("bob")
    page.focus("#tms-fold-retries > summary")
    page.keyboard.press("Enter")
    assert not page.is_visible("#id_contacts")
    page.focus("#id_name")
    with page.expect_navigation():
        page.keyboard.press("Enter")

    folds = "all => all.filter((one) => one.open).map((one) => one.id)"
    assert page.eval_on_selector_all(".tms-fold", folds) == ["tms-fold-retries"]
    described = "document.getElementById(document.activeElement.getAttribute('aria-describedby').split(' ').at(-1))"
    assert page.evaluate("document.activeElement.id") == "id_contacts"
    assert page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    assert "bob" in page.evaluate(f"{described}.textContent")
    desk.inspect("form-error-in-fold")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("bob@example.com")
    page.focus("#id_name")
    with page.expect_navigation():
        page.keyboard.press("Enter")

    assert Webhook.objects.get().contacts == "bob@example.com"
    # Enter is a press of "Save", and no preview in another tab.
    assert len(desk.context.pages) == 1


def test_an_id_that_a_search_does_not_find_is_selected_as_it_is(desk, webhook):
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    page.click(".tms-add")
    page.click("button:text-is('Class')")
    page.keyboard.type("987654")
    page.locator("[role=option]", has_text="Use the id 987654").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text(".field-class .tms-chip").strip() == "987654"
    desk.save()

    assert "has ids that no object of the organization has: 987654." in page.inner_text(".messagelist")
    assert Subscription.objects.get().filters == {"class": [987654]}


def test_the_list_of_webhooks_shows_all_its_columns_at_each_width(desk, world):
    webhook = WebhookFactory(
        organization=world.tenants[0].organization,
        name="CRM of the northern region",
        url="https://hooks.customer-integration.example.com/hook",
        paused_until=timezone.now() + timedelta(hours=3),
        succeeded_at=timezone.now(),
    )
    write_delivery(webhook, now=timezone.now())
    page = desk.open("/admin/tms_webhooks/webhook/")

    log = page.locator(f"a[href*='webhook={webhook.public_id}']")
    for width in (1280, 1024, NARROW):
        desk.looks(width=width)
        box, link = page.locator("#changelist-form .results").bounding_box(), log.bounding_box()
        assert link["x"] + link["width"] <= box["x"] + box["width"]
        assert page.eval_on_selector(".results", "one => one.scrollWidth - one.clientWidth") == 0


def test_on_a_narrow_screen_the_fields_of_a_section_keep_away_from_its_border(desk, world):
    webhook = WebhookFactory(organization=world.tenants[0].organization, events=["class.*"])
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    desk.looks(width=400)
    desk.unfold("retries", "request", "content", "delivery", "security")

    distances = page.evaluate(DISTANCES)

    assert len(distances) > 20
    assert {name: sides for name, sides in distances.items() if min(sides) < 8} == {}
    styles = [page.eval_on_selector(one, "one => getComputedStyle(one).border") for one in ("#id_name", ".tms-picker")]
    assert styles[0] == styles[1]


def test_a_strict_content_security_policy_breaks_nothing(desk, world):
    def with_policy(route):
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": "default-src 'self'"})

    desk.context.route(re.compile(r"/tms_webhooks/"), with_policy)
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    webhook = WebhookFactory(organization=world.tenants[0].organization, events=["class.*"])

    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    page.wait_for_selector(".tms-request", state="attached")
    page.click(".tms-all-events > summary")
    page.fill("#tms-event-search", "voucher")
    page.click(".tms-add")
    page.wait_for_selector(".tms-parts button")
    desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/secret/")
    desk.follow("input[type=submit]")
    page.click("[data-tms-copy=tms-secret]")
    # What the policy stops is an error in the console, which the desk does not let pass.
    page.wait_for_selector("[data-tms-copy=tms-secret]:text-is('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#tms-secret")


# From beginning to end


def test_enter_takes_the_only_match_of_a_search_and_other_text_is_an_error_at_its_field(desk, world, webhook):
    course = world.tenants[0].classes.training_class.course
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
    page.click(".tms-add")
    page.click("button:text-is('Course')")
    search = ".field-course .tms-picker"

    page.fill(search, "abc, Azure")
    page.press(search, "Enter")
    desk.save()

    message = "“abc, Azure” was not selected. Select an object in the search box, or clear the box."
    assert message in page.inner_text(".field-course .errorlist")
    assert page.input_value(search) == "abc, Azure"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "combobox"
    assert Subscription.objects.get().filters == {}
    desk.inspect("form-lost-text")
    page.fill(search, course.name)
    page.press(search, "Enter")
    page.wait_for_selector(".field-course .tms-chip")
    page.press(search, "Enter")
    assert (page.inner_text(".field-course .tms-chip").strip(), page.input_value(search)) == (course.name, "")
    desk.save()

    assert Subscription.objects.get().filters == {"course": [course.pk]}


def test_the_content_of_one_event_is_added_and_removed(desk, world):
    page = desk.open(ADD)
    page.fill("#id_name", "CRM")
    page.select_option("#id_organization", str(world.tenants[0].organization.pk))
    page.fill("#id_url", "https://crm.example.com/hook")
    page.fill("#tms-event-search", "class")
    for name in ("class.cancelled", "class.denied"):
        page.check(event(name))
    desk.unfold("content")
    page.select_option("#id_format", "custom")
    page.fill("#id_content", "event {type}")
    page.click(".tms-offers button:text-is('class.cancelled')")
    page.click(".tms-offers button:text-is('class.denied')")
    page.fill(".tms-content textarea >> nth=0", "Off: {data.name}")
    page.click("[data-tms-remove] >> nth=1")
    desk.inspect("form-contents")
    desk.save()
    page.wait_for_url(re.compile(r"/secret/$"))

    webhook = Webhook.objects.get()
    assert (webhook.content, webhook.contents) == ("event {type}", {"class.cancelled": "Off: {data.name}"})
